"""Answers of a server are those of the model in this process; what can go wrong with a server ends in one message."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.lm.generate import generate
from jobs.lm.generation import Generation
from jobs.lm.load import load_model
from jobs.lm.render import Renderer, load_tokenizer
from jobs.lm.server import running_server
from jobs.lm.server_generate import generate_by_server
from jobs.lm.server_guard import PATIENCE_S
from sftjobs.errors import DataError, SftError
from sftjobs.program import Stopped
from sftjobs.spec.eval import ServerSpec
from tests.support.tiny import tiny_model

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "tests" / "support" / "completion_server.py"
QUESTIONS = [
    "how much money is on my account",
    "please move twenty dollars",
    "我想查询我的余额",
    "hi",
    "greeting weather",
]
LIMIT = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


def _spec(*fault: str, start_s: int = 120) -> ServerSpec:
    return ServerSpec(
        command=[sys.executable, "-P", str(SERVER), "{model}", "{port}", *fault], start_s=start_s, concurrency=3
    )


def _prompts(renderer: Renderer) -> list[list[int]]:
    return renderer.prompts([[{"role": "user", "content": text}] for text in QUESTIONS])


def _ask(folder: Path, spec: ServerSpec, **more: object) -> Generation:
    renderer = Renderer(load_tokenizer(folder))
    prompts = _prompts(renderer)
    with running_server(spec, folder) as server:
        return generate_by_server(
            server,
            renderer.tokenizer,
            prompts,
            stop_ids=renderer.stop_ids,
            room=[LIMIT, LIMIT, LIMIT, 0, 2],
            **more,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("fault", ["none", "text", "busy"])
def test_answers_are_those_of_the_model_in_this_process(folder: Path, fault: str) -> None:
    renderer = Renderer(load_tokenizer(folder))
    local = generate(
        load_model(folder), _prompts(renderer), stop_ids=renderer.stop_ids, max_new_tokens=LIMIT, batch_size=8
    )
    done: list[int] = []
    found = _ask(folder, _spec(fault), on_progress=done.append)
    expected = [answer.ids for answer in local.answers]
    expected[3], expected[4] = [], expected[4][:2]
    assert [answer.text or "" for answer in found.answers] == [renderer.tokenizer.decode(ids) for ids in expected]
    assert [answer.ended for answer in found.answers[:3]] == [answer.ended for answer in local.answers[:3]]
    assert found.new_tokens == sum(len(ids) for ids in expected) + sum(answer.ended for answer in found.answers)
    assert done == [2, 3, 4, 5]
    assert found.beyond_context == 2


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("silent", DataError, r"did not answer within 3 s \(start_s\)[\s\S]*this is silent"),
        ("dies", SftError, r"ended after \d of 5 answers, exit code 3[\s\S]*something terrible happened"),
        ("refuses", DataError, "refused a prompt of .* tokens .*400: .*this model does not take such prompts"),
        ("missing", DataError, r"404: .*does not exist.*\. Models that it serves: somebody/else"),
        ("breaks", SftError, r"answered prompt \d .*500: .*out of memory"),
        ("bos", DataError, r"saw \d+ tokens where the prompt has \d+: it adds special tokens"),
    ],
)
def test_what_goes_wrong_is_said_once(
    folder: Path, fault: str, error: type[SftError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.lm.server_requests.RETRIES", 1)
    with pytest.raises(SftError, match=said) as raised:
        _ask(folder, _spec(fault, start_s=3 if fault == "silent" else 60))
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sleep", "{port}"], r"has no \{model\}: it would serve some other model"),
        (["sleep", "{model}"], r"has no \{port\}"),
        (["no-such-server", "{model}", "{port}"], "there is no program 'no-such-server'"),
    ],
)
def test_commands_that_cannot_be_servers(folder: Path, command: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        _ask(folder, ServerSpec(command=command))


def test_a_server_that_ends_at_once(folder: Path) -> None:
    with pytest.raises(DataError, match=r"ended before it answered, exit code 1[\s\S]*No such file") as raised:
        _ask(folder, ServerSpec(command=["cat", "/no/such/{model}/{port}"]))
    assert raised.value.exit_code == DataError.exit_code


def test_a_request_to_stop_ends_the_server_and_all_it_started(folder: Path) -> None:
    asked: list[float] = []
    started = time.monotonic()
    with pytest.raises(Stopped, match="1 of 5 answers were generated"):
        _ask(folder, _spec("silent"), on_wait=asked.append, stop_requested=lambda: bool(asked))
    # A server that hears SIGTERM is not waited for; this one does not even have to be killed.
    assert time.monotonic() - started < PATIENCE_S
    _ask(folder, _spec("stubborn"))
    _until(lambda: _gone(folder), 5)  # a KILL is sent, and takes effect soon after


def test_a_program_that_is_killed_takes_its_server_along(folder: Path) -> None:
    script = (
        "import time; from pathlib import Path; from jobs.lm.server import running_server; "
        "from sftjobs.spec.eval import ServerSpec\n"
        f"with running_server(ServerSpec(command={_spec('stubborn').command!r}), Path({str(folder)!r})):\n"
        "    time.sleep(3600)"
    )
    (folder / "pids").unlink(missing_ok=True)
    program = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        _until(lambda: (folder / "pids").is_file() and (folder / "pids").stat().st_size > 0, 60)
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
    _until(lambda: _gone(folder), 30)


def _gone(folder: Path) -> bool:
    pids = [int(pid) for pid in (folder / "pids").read_text(encoding="utf-8").split()]
    return not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def _until(condition, seconds: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
