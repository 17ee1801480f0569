"""What users write: `Pipeline`, `Project` and `ModelService` of `adutora.dev/v1alpha1`, as frozen models."""
