"""Mistakes inside the data and the tokenizer: `check` shows them all, `run` stops at its first stage."""

import pytest

from sftjobs.names import Exit
from tests.support.cli_run import CliRun, records

CUT, LABEL, BYTES = (
    '{"text": "where is my par',
    '{"text": "a", "label": "refund"}\n',
    b'{"text": "\xff", "label": "payment"}\n',
)


@pytest.fixture
def spoiled(sft: CliRun) -> CliRun:
    """A label outside the set in line 9, half a line at the end, and a broken byte in the other file."""
    sft.write("train.jsonl", records(8) + LABEL + CUT)
    sft.write("held_out.jsonl", records(4).encode() + BYTES)
    return sft


SAID = (
    "train.jsonl:9: label 'refund' is not one of the prompt's labels; they are payment and delivery. "
    "Correct it or add it to `labels`",
    "held_out.jsonl:5: byte 0xff, the ",
    "is not UTF-8; save the file as UTF-8, or remove the line",
    "train.jsonl:10:10: not JSON: Unterminated string",
    "the line ends in the middle of the record: was the file cut short",
)


def test_check_shows_every_problem_of_the_data(spoiled: CliRun) -> None:
    answer = spoiled("check")
    assert answer.code == Exit.BAD_CONFIG
    tail = answer.out.rpartition("\n3 problems in the data:\n")[2]
    assert len(tail.splitlines()) == 3, "they come last, where a person looks"
    for said in SAID:
        assert said in tail
    assert str(spoiled.folder) not in tail, "files as a person there would write them"


def test_run_stops_before_anything_is_trained(spoiled: CliRun) -> None:
    answer = spoiled("run")
    assert answer.code == Exit.BAD_CONFIG
    assert "failed in stage data (config): 3 problems in the data, nothing was made of it" in answer.err
    for said in SAID:
        assert said in answer.err
    assert "log: sftjobs logs tickets-" in answer.err
    state = spoiled("status", "tickets", "-o", "json").json()
    assert [stage["attempts"] for stage in state["stages"]] == [1, 0, 0, 0, 0, 0], "a mistake is not tried again"


def test_a_tokenizer_without_a_chat_template(sft: CliRun) -> None:
    (sft.folder / "model" / "chat_template.jinja").unlink()
    answer = sft("check", "-o", "json")
    assert answer.code == Exit.COMMITTED
    assert any("the default one of sftjobs is used" in note for note in answer.json()["notes"])
