"""`kubectl adutora`: trigger pipelines, list runs, read logs, and say why something does not work.

A plugin of kubectl: it speaks to Kubernetes by `kubectl` itself, as whoever its user is there, and to Airflow by REST.
"""
