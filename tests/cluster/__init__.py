"""A real Kubernetes of one node for tests: `python3 -m tests.cluster up`. Standard library only.

`node` runs every part in namespaces of its own, `kind` asks kind where Docker's engine runs; `docs/cluster.md` tells more.
"""
