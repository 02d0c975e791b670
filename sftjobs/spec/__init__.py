"""What the user writes: run.yaml and the prompt file."""
