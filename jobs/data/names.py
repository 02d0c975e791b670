"""Names of tasks that have a meaning of their own."""

GENERAL = "general"
"""General-domain examples, mixed in by their ratio."""
HELD_OUT = "held_out"
"""Held-out examples of several tasks, of which the source does not say which."""
