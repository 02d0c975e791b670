"""`python -m sftjobs.controller`: process 1 of the controller pod of a release.

It reads the release, records the run and runs it to its verdict. Exit codes 0, 3 and 10 are verdicts; with any other
code the Job of the controller starts it again. What it says last is the termination message of its pod.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TypeVar

from sftjobs import names
from sftjobs.agent.termination import write_termination
from sftjobs.attempts import Termination
from sftjobs.backend.base import BackendError, ReleaseGoneError
from sftjobs.cli.progress import RunProgress
from sftjobs.controller.loop import Controls
from sftjobs.errors import BusyError, DamagedError, DataError, SftError, StoreConfigError, StoreError
from sftjobs.kube.api import ApiError, in_cluster
from sftjobs.names import Exit
from sftjobs.release.chain import ReleaseRun, record, request_of, run_release
from sftjobs.release.release import read_release
from sftjobs.release.run_file import load_text, open_in_cluster
from sftjobs.release.webhook import announce
from sftjobs.runs import Verdict
from sftjobs.store.probe import probe

BUSY_S = 3.0
"""Seconds between two tries to become the controller of the run: the one before it may still be leaving."""
MAX_WAIT_S = 30.0
T = TypeVar("T")


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Run the release that the environment names; returns the exit code."""
    controls = Controls()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: controls.leave())
    signal.signal(signal.SIGINT, _interrupted(controls))
    log = Path(environ.get(names.ENV_TERMINATION_LOG) or names.TERMINATION_LOG)
    try:
        code, message = _run(environ, controls)
    except ReleaseGoneError as gone:
        code, message = Exit.STOPPED, f"left without acting: {gone}"
    except SftError as error:
        code, message = error.exit_code, str(error)
    except ApiError as error:
        code, message = Exit.INFRASTRUCTURE, str(error)
    failure = "committed" if code == 0 else "config" if code == Exit.BAD_CONFIG else "user"
    write_termination(log, Termination(failure=failure, code=int(code), message=message))  # type: ignore[arg-type]
    _say(message)
    return int(code)


def _run(environ: Mapping[str, str], controls: Controls) -> tuple[Exit, str]:
    name, namespace = _who_am_i(environ)
    api = in_cluster(namespace)
    release = _patiently(controls, lambda: read_release(api, name))
    loaded = load_text(release.run_text)
    store = open_in_cluster(loaded, release.cluster)
    _patiently(controls, lambda: probe(store))
    run = _patiently(controls, lambda: record(release, loaded, store))
    _say(f"run {run.run_id}, store {store.uri}")
    verdict = _to_the_end(run, controls, request_of(release, environ.get(names.ENV_AGAIN, "")))
    if verdict.outcome not in ("left", "stopped"):
        _patiently(controls, lambda: announce(store, run.run_id, release.name, verdict, release.cluster.webhook))
    return verdict.exit_code, _summary(run, verdict)


def _who_am_i(environ: Mapping[str, str]) -> tuple[str, str]:
    """Release and namespace. Raises DataError."""
    missing = [name for name in (names.ENV_RELEASE, names.ENV_NAMESPACE) if not environ.get(name)]
    if missing:
        way_out = "it is started by the chart sft-run; `sftjobs run --backend kubernetes` is the controller on a laptop"
        raise DataError(f"the controller needs {', '.join(missing)} in its environment; {way_out}")
    return environ[names.ENV_RELEASE], environ[names.ENV_NAMESPACE]


def _to_the_end(run: ReleaseRun, controls: Controls, request: str) -> Verdict:
    """Wait while another controller has the run: the one of an upgrade follows on the one before it."""
    said = False
    with RunProgress(run.store, run.plan, run.run_id) as progress:
        while True:
            try:
                return run_release(
                    run, controls=controls, request=request, on_tick=progress.on_tick, on_trouble=progress.on_trouble
                )
            except BusyError as busy:
                if controls.leaving:
                    raise
                if not said:
                    _say(f"waiting: {busy}")
                said = True
                _nap(controls, BUSY_S)


def _patiently(controls: Controls, action: Callable[[], T]) -> T:
    """The result of `action`, tried until store and API server answer; a mistake of the user comes out at once."""
    wait = 0.5
    while True:
        try:
            return action()
        except (StoreConfigError, DamagedError):
            raise  # waiting will not help
        except (StoreError, BackendError, ApiError) as error:
            if isinstance(error, ApiError) and not error.may_pass:
                raise
            if controls.leaving:
                raise SftError("told to leave while it waited") from error
            _say(f"waiting: {error} (next try in {wait:g} s)")
            _nap(controls, wait)
            wait = min(MAX_WAIT_S, 2 * wait)


def _nap(controls: Controls, seconds: float) -> None:
    """Sleep, but not while somebody waits for this process to leave: the grace of a pod may be shorter."""
    end = time.monotonic() + seconds
    while not controls.leaving and time.monotonic() < end:
        time.sleep(0.2)


def _summary(run: ReleaseRun, verdict: Verdict) -> str:
    if verdict.outcome == "failed":
        where = f" in stage {verdict.stage}" if verdict.stage else ""
        return f"run {run.run_id} failed{where} ({verdict.failure}): {verdict.message}"
    return f"run {run.run_id}: {verdict.outcome}" + (f": {verdict.message}" if verdict.message else "")


def _interrupted(controls: Controls) -> Callable[[int, FrameType | None], None]:
    """For somebody who runs this by hand: stages save and stop."""
    return lambda _signal, _frame: controls.request_stop()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
