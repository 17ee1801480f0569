"""Run a DagConfig on this machine: a process per stage, no cluster and no server."""
