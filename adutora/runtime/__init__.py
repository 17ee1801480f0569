"""What runs inside a stage's process: read the configuration, run the stage, leave an outcome."""
