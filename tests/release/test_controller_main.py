"""Process 1 of the controller's pod, up to its store: what it refuses, what it waits for, and its last word.

Only the way to the API server is another one than in a pod, where it comes from files of the service account.
"""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sftjobs import names
from sftjobs.attempts import Termination
from sftjobs.canonical import sha256
from sftjobs.kube.api import Object
from sftjobs.names import Exit
from sftjobs.release import controller
from tests.support.scripted_api import NAMESPACE, ScriptedApi, answer, status

BAD = """\
name: demo
store: {uri: s3://bucket/sft}
model: hf://org/model@main
prompt: {input: "{{ text }}", labels: {a: first, b: second}, output: {format: label}}
data:
  tasks: {t: {path: s3://sft/train.jsonl}}
  held_out: {path: test.jsonl}
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with ScriptedApi() as found:
        monkeypatch.setattr(controller, "in_cluster", lambda _: found.api())
        found.script("GET configmaps/demo-anchor", answer(anchor(BAD)))
        found.script("GET configmaps/demo-run", answer(config(BAD)))
        yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def anchor(text: str) -> Object:
    annotations = {names.ANNOTATION_RUN_HASH: sha256(text.encode())}
    return {"metadata": {"name": "demo-anchor", "uid": "u1", "annotations": annotations}}


def config(text: str) -> Object:
    return {"metadata": {"name": "demo-run"}, "data": {names.RUN_YAML: text, names.CLUSTER_KEY: "{}"}}


def run(folder: Path, **environ: str) -> tuple[int, Termination]:
    """Exit code and termination message."""
    log = folder / "termination"
    code = controller.main(
        {
            names.ENV_RELEASE: "demo",
            names.ENV_NAMESPACE: NAMESPACE,
            names.ENV_TERMINATION_LOG: str(log),
            **environ,
        }
    )
    return code, Termination.model_validate_json(log.read_bytes())


def test_a_bad_run_yaml_is_refused_at_once_with_its_line(server: ScriptedApi, tmp_path: Path, capsys: Any) -> None:
    began = time.monotonic()
    code, said = run(tmp_path)
    assert time.monotonic() - began < 3
    assert (code, said.code, said.failure) == (10, 10, "config")
    assert said.message.startswith("run.yaml:7: data.held_out.path: 'test.jsonl' is a path of one machine")
    assert "`sftjobs push run.yaml`" in said.message
    assert said.message in capsys.readouterr().err, "and in the log"


def test_what_was_installed_by_hand_is_refused(server: ScriptedApi, tmp_path: Path) -> None:
    server.script("GET configmaps/demo-run", answer(config("name: other\n")))
    code, said = run(tmp_path)
    assert (code, said.failure) == (10, "config")
    assert "a release is one run" in said.message


def test_rights_that_are_missing_are_no_verdict(server: ScriptedApi, tmp_path: Path) -> None:
    """Somebody may give them: the Job starts the controller again."""
    server.script("GET configmaps/demo-anchor", status(403, "Forbidden", 'cannot get resource "configmaps"'))
    code, said = run(tmp_path)
    assert code == 21
    assert "cannot get resource" in said.message


def test_an_api_server_that_is_away_is_waited_for(server: ScriptedApi, tmp_path: Path, capsys: Any) -> None:
    server.script("GET configmaps/demo-anchor", status(503, "Unavailable", "starting"), answer(anchor(BAD)))
    assert run(tmp_path)[0] == 10
    assert "waiting: starting (next try in 0.5 s)" in capsys.readouterr().err


def test_leaving_while_it_waits(server: ScriptedApi, tmp_path: Path) -> None:
    """As a node does it that is drained: the grace of the pod is shorter than some pauses."""
    server.script("GET configmaps/demo-anchor", status(503, "Unavailable", "starting"))
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    threading.Timer(2.0, lambda: signal.pthread_kill(main_thread, signal.SIGTERM)).start()
    began = time.monotonic()
    code, said = run(tmp_path)
    assert time.monotonic() - began < 5
    assert (code, said.message) == (21, "told to leave while it waited")


def test_started_by_hand(tmp_path: Path) -> None:
    said = tmp_path / "termination"
    assert controller.main({names.ENV_RELEASE: "demo", names.ENV_TERMINATION_LOG: str(said)}) == Exit.BAD_CONFIG
    message = Termination.model_validate_json(said.read_bytes()).message
    assert names.ENV_NAMESPACE in message and names.ENV_RELEASE not in message
    assert "chart" in message
