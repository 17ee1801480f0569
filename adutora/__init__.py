"""Adutora: data and machine-learning pipelines from one YAML file, on a laptop or on Kubernetes."""

__version__ = "0.1.0"
