"""Where the words go: pipes whose reader leaves, closed streams, no colours, JSON."""

from tests.support.cli_run import CliRun

READER_GONE = 141


def test_a_reader_that_leaves_is_no_failure_with_a_message(sft: CliRun) -> None:
    for verb in ("plan", "plan -o json", "explain -o json", "--help"):
        answer = sft.shell(f"sftjobs {verb} | true; exit ${{PIPESTATUS[0]}}")
        assert answer.code == READER_GONE
        assert (answer.out, answer.err) == ("", "")


def test_closed_streams(sft: CliRun) -> None:
    assert sft.shell("sftjobs plan >&-").code == 0
    assert sft.shell("sftjobs plan >&- 2>&-").code == 0
    assert sft.shell("sftjobs plan nothing.yaml 2>&-").code == 10


def test_no_colours_and_no_cursor_movements_without_a_terminal(sft: CliRun) -> None:
    for variables in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        answer = sft("check", **variables)
        assert answer.code == 0
        assert "\x1b" not in answer.text
        assert "⟦delivery<|im_end|>⟧" in answer.out, "what is trained is marked without colours, too"


def test_no_color_on_a_terminal(sft: CliRun) -> None:
    """`script` gives the command a terminal."""
    command = "script -qec 'sftjobs plan nothing.yaml' /dev/null"
    assert "\x1b[" in sft.shell(command, TERM="xterm-256color").out
    plain = sft.shell(command, TERM="xterm-256color", NO_COLOR="1").out
    assert "\x1b[3" not in plain, "no colour; bold is none"
    assert "nothing.yaml: not found" in plain


def test_letters_that_the_terminal_does_not_have(sft: CliRun) -> None:
    answer = sft("check", PYTHONIOENCODING="ascii")
    assert answer.code == 0
    assert "\\u27e6delivery" in answer.out


def test_json_on_success(sft: CliRun) -> None:
    plan = sft("plan", "-o", "json").json()
    stages = ["data", "train", "eval-base", "baselines", "eval-tuned", "compare"]
    assert [stage["stage"] for stage in plan["stages"]] == stages
    assert [stage["stage"] for stage in sft("explain", "-o", "json").json()] == [s["stage"] for s in plan["stages"]]
    assert sft("ls", "-o", "json").json() == []
    assert sft("gc", "-o", "json").json() == {"bytes": 0, "deleted": False, "found": {}, "objects": 0}
    assert sft("gc").out == "nothing to delete; what is younger than 24 hours stays (--grace)\n"
    assert sft("gc", "--grace", "0").out == "nothing to delete\n"
    check = sft("check", "-o", "json").json()
    assert check["problems"] == []
    assert len(check["rendered"]) == 3


def test_completion_scripts(sft: CliRun) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_SFTJOBS_COMPLETE" in sft("completion", shell).out
