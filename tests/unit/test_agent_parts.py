"""Parts of the agent that need no process: redaction, classes of failure, the termination line, progress, OOM."""

import itertools
import signal
from pathlib import Path

import pytest

from sftjobs.agent.classify import RankEnd, classify, doubt, of_error
from sftjobs.agent.group.base import Doubt
from sftjobs.agent.inputs import wanted
from sftjobs.agent.last_words import LastWords
from sftjobs.agent.memory import oom_kills
from sftjobs.agent.progress import Progress
from sftjobs.agent.redact import Redactor
from sftjobs.agent.termination import MAX_BYTES, termination_line, write_termination
from sftjobs.attempts import Termination
from sftjobs.error_file import Said
from sftjobs.errors import CheckpointError, StoreError
from sftjobs.plan.types import FileEntry, FinishedInput

SECRETS = ["abcd", "abcdefgh", "xyxyz", "ghij-k"]
TEXT = b"see abcd, abcdefgh, abcdefg, xyxyxyz, abcdefghij-k, geheim abc"


def redacted(secrets: list[str], pieces: list[bytes]) -> bytes:
    redactor = Redactor(secrets)
    return b"".join([redactor.feed(piece) for piece in pieces]) + redactor.flush()


def test_redaction_is_the_same_however_the_stream_is_cut() -> None:
    whole = redacted(SECRETS, [TEXT])
    r = b"[redacted]"
    assert whole == b"see %s, %s, %sefg, xy%s, %sij-k, geheim abc" % (r, r, r, r, r)
    for first, second in itertools.combinations(range(len(TEXT) + 1), 2):
        assert redacted(SECRETS, [TEXT[:first], TEXT[first:second], TEXT[second:]]) == whole
    assert redacted(SECRETS, [bytes([byte]) for byte in TEXT]) == whole


def test_short_or_no_secrets_change_nothing() -> None:
    assert redacted(["1", "abc"], [b"abc 1"]) == b"abc 1"
    assert redacted([], [b"abc"]) == b"abc"


def end(rank: int, code: int, seen: float = 0.0, said: Said | None = None) -> RankEnd:
    return RankEnd(rank, code, seen, said or Said())


@pytest.mark.parametrize(
    ("ends", "stopping", "oom", "failure", "code", "rank"),
    [
        ([end(0, 20)], True, False, "stopped", 20, None),
        ([end(0, -signal.SIGTERM)], True, False, "stopped", 20, None),
        ([end(0, 20), end(1, -signal.SIGTERM)], True, False, "stopped", 20, None),
        ([end(0, 0), end(1, 20)], True, False, "stopped", 20, None),
        ([end(0, 20)], False, False, "infrastructure", 21, 0),
        ([end(0, -signal.SIGTERM)], False, False, "infrastructure", 21, 0),
        ([end(0, -signal.SIGKILL)], False, False, "infrastructure", 21, 0),
        ([end(0, -signal.SIGKILL)], True, False, "infrastructure", 21, 0),
        ([end(0, -signal.SIGKILL)], False, True, "out_of_memory", 137, 0),
        ([end(0, 137)], False, True, "out_of_memory", 137, 0),
        ([end(0, -signal.SIGBUS)], False, False, "user", 1, 0),
        ([end(0, 139)], False, False, "user", 1, 0),
        ([end(0, -signal.SIGABRT)], False, False, "user", 1, 0),
        ([end(0, 10)], True, False, "config", 10, 0),
        ([end(0, 11)], False, False, "checkpoint", 11, 0),
        ([end(0, 3)], False, False, "user", 1, 0),
        ([end(0, 21, 1.0), end(1, 1, 2.0)], False, False, "user", 1, 1),
        ([end(0, 1, 2.0), end(1, 1, 1.0)], False, False, "user", 1, 1),
        ([end(0, 21, 2.0), end(1, 21, 1.0)], False, False, "infrastructure", 21, 1),
        ([end(0, -signal.SIGABRT, 1.0), end(1, -signal.SIGKILL, 2.0)], False, False, "infrastructure", 21, 1),
        ([end(0, -signal.SIGABRT, 1.0), end(1, 10, 2.0)], False, False, "config", 10, 1),
        ([end(0, 21, 1.0), end(1, 134, 2.0)], False, False, "user", 1, 1),
    ],
)
def test_classes(ends: list[RankEnd], stopping: bool, oom: bool, failure: str, code: int, rank: int | None) -> None:
    termination = classify(ends, stopping=stopping, oom=oom)
    assert termination is not None
    assert (termination.failure, termination.code, termination.rank) == (failure, code, rank)
    assert termination.message


WATCHDOG = b"[rank1]: terminate called after throwing an instance of 'c10::DistBackendError'"


@pytest.mark.parametrize(
    ("said", "of_communication", "text"),
    [
        ([], False, ""),
        ([b"terminate called without an active exception\n"], False, ""),
        ([WATCHDOG + b"\n  what():  [Rank 1] NCCL error\nstack\n"], True, "c10::DistBackendError: [Rank 1] NCCL error"),
        ([WATCHDOG + b"\n", b"  what():  cut\n"], True, "c10::DistBackendError: cut"),
        ([WATCHDOG + b"\n"], True, "c10::DistBackendError"),
        (
            [
                WATCHDOG
                + b"\n  what():  [Rank 1] watchdog thread terminated: CUDA error: device-side assert triggered\n"
            ],
            False,
            "c10::DistBackendError: [Rank 1] watchdog thread terminated: CUDA error: device-side assert triggered",
        ),
        (
            [b"terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA error\n"],
            False,
            "c10::Error: CUDA error",
        ),
    ],
)
def test_last_words(said: list[bytes], of_communication: bool, text: str) -> None:
    words = LastWords()
    for lines in said:
        words.hear(lines)
    assert (words.of_communication, words.text) == (of_communication, text)


def test_aborted_for_lack_of_a_peer() -> None:
    """Any other failure is to blame first; alone it is no mistake of the program."""
    words = LastWords()
    words.hear(WATCHDOG + b"\n")
    aborted = RankEnd(1, -signal.SIGABRT, 1.0, words=words)
    alone = classify([aborted], stopping=False, oom=False)
    assert alone is not None
    assert (alone.failure, alone.code) == ("infrastructure", 21)
    assert alone.message == "communication between ranks failed, which ended rank 1: c10::DistBackendError"
    other = classify([aborted, end(0, 1, 2.0, Said("it broke", 1))], stopping=False, oom=False)
    assert other is not None
    assert (other.failure, other.message) == ("user", "it broke")


COMPLAINT = Said("communication between ranks failed: closed by peer", 21, complaint=True)
FULL = Said("the metrics: cannot be written: the disk is full", 21)


def test_a_reason_of_its_own_comes_before_complaints() -> None:
    """Both end with 21, and the complaint may be seen first."""
    found = classify([end(0, 21, 1.0, COMPLAINT), end(1, 21, 2.0, FULL)], stopping=False, oom=False)
    assert found is not None
    assert (found.failure, found.rank, found.message) == ("infrastructure", 1, FULL.message)
    assert doubt([end(1, 21, 2.0, FULL)], stopping=False) is Doubt.NONE
    assert doubt([end(0, 21, 1.0, COMPLAINT)], stopping=False) is Doubt.COMPLAINT


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_crash_on_the_way_out_changes_nothing(number: int) -> None:
    found = classify([end(0, -number, 1.0, Said("line 3 is cut", 10))], stopping=False, oom=False)
    assert found is not None
    assert (found.failure, found.code, found.message) == ("config", 10, "line 3 is cut")


@pytest.mark.parametrize(
    ("error", "failure", "message"),
    [
        ("uncorrectable ECC error encountered", "infrastructure", "the GPU of rank 1 failed: c10::DistBackendError: "),
        ("device-side assert triggered", "user", "rank 1 ended by signal SIGABRT: c10::DistBackendError: "),
    ],
)
def test_an_error_of_cuda_that_a_watchdog_found(error: str, failure: str, message: str) -> None:
    """It says what it is, though it looks like one of communication; complaints of others come after it."""
    words = LastWords()
    words.hear(WATCHDOG + b"\n  what():  watchdog thread terminated: CUDA error: " + error.encode() + b"\n")
    ends = [end(0, 21, 1.0, COMPLAINT), RankEnd(1, -signal.SIGABRT, 2.0, words=words)]
    found = classify(ends, stopping=False, oom=False)
    assert found is not None
    assert (found.failure, found.rank) == (failure, 1)
    assert found.message.startswith(message)
    assert found.message.endswith(error)


def test_all_well_means_commit() -> None:
    assert classify([end(0, 0), end(1, 0)], stopping=False, oom=False) is None
    assert classify([end(0, 0)], stopping=True, oom=False) is None


def test_hints() -> None:
    message = classify([end(0, 135)], stopping=False, oom=False)
    assert message is not None
    assert "/dev/shm is too small" in message.message
    memory = classify([end(0, 137)], stopping=False, oom=True)
    assert memory is not None
    assert "memory_gib" in memory.message


@pytest.mark.parametrize(
    ("error", "failure", "code", "message"),
    [
        (StoreError("s"), "infrastructure", 21, "s"),
        (CheckpointError("c"), "checkpoint", 11, "c"),
        (OSError(28, "No space left on device", "/x"), "infrastructure", 21, "this machine: [Errno 28] No space"),
        (KeyError("k"), "infrastructure", 21, "the agent failed: KeyError: 'k'"),
    ],
)
def test_errors_of_the_agent(error: Exception, failure: str, code: int, message: str) -> None:
    termination = of_error(error)
    assert (termination.failure, termination.code) == (failure, code)
    assert termination.message.startswith(message)


@pytest.mark.parametrize("message", ["", "x" * 5000, "ü" * 5000, '"\\\n' * 3000, "\x00" * 9000])
def test_the_termination_line_fits(message: str) -> None:
    line = termination_line(Termination(failure="user", code=1, message=message))
    assert len(line) <= MAX_BYTES
    assert line.count(b"\n") == 1
    parsed = Termination.model_validate_json(line)
    assert len(parsed.message) == len(message) if len(message) < 100 else "…" in parsed.message


def test_a_long_message_keeps_both_ends() -> None:
    text = "first words " + "x" * 5000 + " way out"
    message = Termination.model_validate_json(
        termination_line(Termination(failure="user", code=1, message=text))
    ).message
    assert message.startswith("first words")
    assert message.endswith("way out")


def test_the_termination_file_is_written_whole_or_left_out(tmp_path: Path) -> None:
    write_termination(tmp_path / "t", Termination(failure="busy", code=23))
    assert Termination.model_validate_json((tmp_path / "t").read_bytes()).code == 23
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    write_termination(tmp_path / "nowhere" / "t", Termination(failure="busy", code=23))


def test_progress_reads_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    progress = Progress(path)
    progress.read()
    assert progress.step is None
    path.write_text('{"phase": "train", "t": 10.0, "step": 1, "total": 5, "loss": 2.5}\n{"phase": "train", "st')
    progress.read()
    assert progress.step == 1
    assert progress.eta_s() is None
    with path.open("a") as file:
        file.write('ep": 3, "t": 14.0, "total": 5}\nno json\n[1]\n')
    progress.read()
    assert progress.step == 3
    assert progress.number("loss") == 2.5
    assert progress.eta_s() == 4.0
    with path.open("a") as file:
        file.write('{"phase": "export", "t": 15.0, "step": 0, "loss": NaN}\n')
    progress.read()
    assert progress.latest["phase"] == "export"
    assert progress.number("loss") is None
    assert progress.eta_s() is None


def test_oom_counters_of_both_versions(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    assert oom_kills(tmp_path, membership) == 0
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    membership.write_text("0::/pod\n")
    assert oom_kills(tmp_path, membership) == 2
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    membership.write_text("4:memory:/pod\n")
    assert oom_kills(tmp_path, membership) == 3


def test_files_wanted_by_folder_and_glob() -> None:
    files = [FileEntry(path=path, size=0, sha256="") for path in ("model/a", "model2/b", "c")]
    assert [file.path for file in wanted(files, FinishedInput(folder="model/"))] == ["a"]
    assert [file.path for file in wanted(files, FinishedInput(include=["model*"]))] == ["model/a", "model2/b"]
