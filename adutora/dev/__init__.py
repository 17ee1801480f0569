"""`adutora dev`: the DAGs of a cluster in an Airflow on this machine, stages as processes."""
