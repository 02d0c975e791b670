"""A model that was trained on what is held out here is not evaluated."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.eval.__main__ import run
from jobs.eval.examples import Example
from jobs.eval.trained_on import trained_questions
from sftjobs.errors import DataError
from sftjobs.plan.configs import DecodingConfig, EvalConfig, MetricConfig
from tests.support.eval_data import data_folder, label_examples
from tests.support.program_runner import run_here
from tests.support.tiny import tiny_tokenizer

CONFIG = EvalConfig(
    metrics=[MetricConfig(name="accuracy")],
    decoding=DecodingConfig(max_new_tokens=4, seed=1),
    threads_per_process=1,
    seed=1,
)


def _conversation(id_: str, *turns: str, task: str = "t", system: str | None = None) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return {
        "id": id_,
        "task": task,
        "messages": [*([{"role": "system", "content": system}] if system else []), *messages],
    }


def _found(tmp_path: Path, held_out: list[dict[str, Any]], trained: list[dict[str, Any]]) -> dict[str, str]:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in trained))
    return trained_questions(path, [Example(one, one["messages"][-1]["content"]) for one in held_out])


def test_the_program_refuses_before_the_model_is_loaded(tmp_path: Path) -> None:
    examples = label_examples(20)
    trained = data_folder(tmp_path / "earlier", examples[:7])
    (trained / "held_out.jsonl").rename(trained / "train.jsonl")
    tiny_tokenizer(tmp_path / "model")  # no weights there
    inputs = {"model": tmp_path / "model", "data": data_folder(tmp_path / "data", examples), "trained_on": trained}
    with pytest.raises(DataError) as caught:
        run_here(run, "jobs.eval", CONFIG, inputs, tmp_path / "work")
    told = str(caught.value)
    assert told.startswith("7 of 20 held-out examples were trained on by the model that is evaluated")
    assert "e0000 (there e0000)" in told
    assert "and 2 more" in told
    assert "data.held_out" in told
    assert "eval.compare_to" in told


def test_case_width_spacing_and_the_system_message_do_not_count(tmp_path: Path) -> None:
    held_out = [_conversation("a", "Where is my CARD?", "x"), _conversation("b", "Where is it?", "x")]
    trained = [_conversation("1", "where  is\nmy ｃａｒｄ?", "y", system="You help.")]
    assert _found(tmp_path, held_out, trained) == {"a": "1"}


def test_another_wording_of_the_instruction_hides_nothing(tmp_path: Path) -> None:
    ours = [
        _conversation(id_, f"Sort the message.\nMessage: {text}", "x")
        for id_, text in (("a", "the parcel never came"), ("b", "I forgot my password"), ("c", "ok"))
    ]
    theirs = [
        _conversation(id_, f"Answer with a label.\nText: {text}\n", "x")
        for id_, text in (("1", "where is the parcel"), ("2", "I forgot my password"), ("3", "ok"))
    ]
    assert _found(tmp_path, ours, theirs) == {"b": "2"}  # `ok` is too short to be recognised


def test_turns_within_a_conversation_are_trained_too(tmp_path: Path) -> None:
    held_out = [
        _conversation("a", "My card is lost", "Which one?", "The blue one", "x"),
        _conversation("b", "yes please, do that for me", "x"),
    ]
    trained = [
        _conversation("1", "My card is lost", "Which one?", "The blue one", "Blocked.", "Thanks", "Bye"),
        _conversation("2", "Shall I go?", "Do you want to?", "yes please, do that for me", "Done"),
    ]
    assert _found(tmp_path, held_out, trained) == {"a": "1"}


def test_a_training_file_that_cannot_be_read(tmp_path: Path) -> None:
    examples = [Example(_conversation("a", "q", "x"), "x")]
    path = tmp_path / "trained_on" / "train.jsonl"
    with pytest.raises(DataError, match=r"input trained_on/train.jsonl is missing"):
        trained_questions(path, examples)
    path.parent.mkdir()
    path.write_text('{"id": 1, "task": "t"}\n')
    with pytest.raises(DataError, match=r"input trained_on/train.jsonl:1: not an example"):
        trained_questions(path, examples)
