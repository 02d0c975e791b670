"""What else the tuned model has to beat: see docs/baselines.md."""
