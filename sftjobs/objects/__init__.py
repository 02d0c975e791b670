"""Kubernetes objects of a stage attempt, as plain dicts from pure functions.

The process backend executes the very same Job, so whatever these modules say is what happens on a laptop too. Fields
that a newcomer would question have their reason beside them; `docs/failures.md` has the whole protocol.

settings.py     what a Job needs beside the plan
job.py          the Job: group, attempts, failure rules, ownership, queue
pod.py          its pod: placement, security, volumes, resources
environment.py  what the container sees: variables and mounted folders
"""

from sftjobs.objects.job import build_job
from sftjobs.objects.settings import JobSettings, OwnerReference

__all__ = ["JobSettings", "OwnerReference", "build_job"]
