"""One attempt of a stage, from the environment to the termination message.

    read the plan -> committed already? -> LEASE -> claim -> fetch -> run the program -> upload -> COMMIT

    SFTJOBS_STORE='{"uri": "/data/store"}' SFTJOBS_RUN_ID=... SFTJOBS_STAGE=data SFTJOBS_ATTEMPT=0 \
        SFTJOBS_WORKDIR=/tmp/work SFTJOBS_TERMINATION_LOG=/tmp/termination python -m sftjobs.agent

`lead.py` and `follow.py` have the part that works on the stage key: on node 0, and on the others.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from sftjobs.agent.classify import of_error
from sftjobs.agent.environment import AgentEnvironment, known_secrets, read_environment, read_plan, termination_log
from sftjobs.agent.follow import FollowingAttempt
from sftjobs.agent.group.base import GroupEnded
from sftjobs.agent.lead import LeadingAttempt
from sftjobs.agent.logs import Log, Shipper
from sftjobs.agent.stop import Stop, StopRequested
from sftjobs.agent.termination import write_termination
from sftjobs.artifact import stages
from sftjobs.attempts import Termination
from sftjobs.crashpoints import crash_point
from sftjobs.errors import SftError
from sftjobs.names import Exit, log_prefix
from sftjobs.plan.types import StagePlan
from sftjobs.runs import write_ending
from sftjobs.store.base import Store
from sftjobs.store.open import open_store

LOG_PATIENCE_S = 20.0
"""The last chunk of log is worth so many seconds of waiting for the store."""


def main() -> int:
    """Run the attempt that the environment describes; returns the exit code of the contract."""
    stop = Stop.on_signals()
    try:
        environment = read_environment(os.environ)
        store = open_store(environment.store, Path.cwd())
        environment, plan = read_plan(store, environment)
        if stages.read_commit(store, plan.kind, plan.key) is not None:
            termination = Termination(failure="committed", code=Exit.COMMITTED, message="was committed already")
        else:
            termination = _logged(environment, store, plan, stop)
            where = (environment.run_id, environment.stage, environment.attempt, environment.node_rank)
            if termination.failure != "committed":  # COMMIT says that better
                write_ending(store, *where, termination)
    except Exception as error:
        termination = explained(error, _print)
        print(f"agent: {termination.message}", file=sys.stderr)
    write_termination(termination_log(os.environ), termination)
    crash_point("after-termination")
    return termination.code


def _logged(environment: AgentEnvironment, store: Store, plan: StagePlan, stop: Stop) -> Termination:
    """The attempt with a log: whatever happens, its last line says how it ended."""
    prefix = log_prefix(environment.run_id, environment.stage, environment.attempt, environment.node_rank)
    shipper = Shipper(store, prefix)
    log = Log(known_secrets(plan, environment.store), shipper.write)
    started = time.monotonic()
    try:
        try:
            attempt = LeadingAttempt if environment.node_rank == 0 else FollowingAttempt
            termination = attempt(environment, store, plan, stop, log).run()
        except Exception as error:
            termination = explained(error, log.say)
        termination = termination.model_copy(update={"message": log.redacted(termination.message)})
        end = f"{termination.failure} (exit {termination.code}) after {time.monotonic() - started:.1f} s"
        log.say(f"{end}: {termination.message}" if termination.message else end)
        return termination
    finally:
        left_s = stop.since + plan.operation.grace_s - time.monotonic() if stop.requested else LOG_PATIENCE_S
        shipper.close(min(LOG_PATIENCE_S, plan.operation.hang_after_s, max(1.0, left_s)))


def explained(error: Exception, say: Callable[[str], None]) -> Termination:
    """What an exception means. Only one that nobody foresaw is shown with its traceback."""
    if not isinstance(error, SftError | OSError | StopRequested | GroupEnded):
        say("".join(traceback.format_exception(error)).rstrip())
    return of_error(error)


def _print(text: str) -> None:
    print(text, file=sys.stderr)
