"""Adutora in Airflow: a side-car brings compiled pipelines, a bundle shows them, a factory makes DAGs of them."""
