"""What stands outside a stage: lake, online store, files, connections. Local and remote, one Protocol each."""
