"""Names of tasks that have a meaning of their own."""

from sftjobs.plan.sampler import GENERAL

HELD_OUT = "held_out"
"""Held-out examples of several tasks, of which the source does not say which."""

__all__ = ["GENERAL", "HELD_OUT"]
