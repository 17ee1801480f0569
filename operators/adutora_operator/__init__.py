"""The operator: Pipelines become immutable PipelineRevisions, and their status tells the truth.

handlers (what kopf calls) -> workqueue -> reconcile (reads as its steps) -> judge, decide, render (pure) -> apply (the
only writes). All state is in the API server: whatever dies, the next reconcile starts from what stands there.
"""
