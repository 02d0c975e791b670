"""What the store knows about a run: plan, owner, attempts, sessions, events. `runs/<run id>/` and nothing else.

A *session* reaches from the user's request (run, resume) to its verdict. Controllers may come and go within one; the
budgets of retries hold per session, so that a restart never forgives a failure and a new request always may.
"""

from sftjobs.runs.attempts import Attempt, AttemptReader, read_attempts, write_intent, write_result
from sftjobs.runs.endings import read_endings, write_ending
from sftjobs.runs.events import Event, add_event, last_event, read_events
from sftjobs.runs.records import (
    Owner,
    RunRecord,
    create_run,
    find_run,
    list_runs,
    read_owner,
    read_plan,
    read_spec_text,
    run_id_of,
)
from sftjobs.runs.sessions import (
    Session,
    Verdict,
    begin_session,
    current_session,
    is_cancelled,
    read_verdict,
    request_cancel,
    write_verdict,
)

__all__ = [
    "Attempt",
    "AttemptReader",
    "Event",
    "Owner",
    "RunRecord",
    "Session",
    "Verdict",
    "add_event",
    "begin_session",
    "create_run",
    "current_session",
    "find_run",
    "is_cancelled",
    "last_event",
    "list_runs",
    "read_attempts",
    "read_endings",
    "read_events",
    "read_owner",
    "read_plan",
    "read_spec_text",
    "read_verdict",
    "request_cancel",
    "run_id_of",
    "write_ending",
    "write_intent",
    "write_result",
    "write_verdict",
]
