"""The evaluation of one model: files, counts, report section, and what a person sees when something is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.answers.metrics import BUILT_IN
from jobs.answers.parse import parser
from jobs.answers.same import same
from jobs.eval.__main__ import run
from jobs.eval.examples import Example
from jobs.eval.score import UNREADABLE, by_label, confusion, predict, rate, scores
from sftjobs.errors import DataError
from sftjobs.plan.configs import DecodingConfig, EvalConfig, MetricConfig
from sftjobs.plan.types import Operation
from sftjobs.program import Program, Stopped
from tests.support.eval_data import data_folder, example, label_examples, label_prompt
from tests.support.program_runner import Outcome, run_here, run_program
from tests.support.tiny import tiny_model

DECODING = DecodingConfig(max_new_tokens=4, seed=1)
CONFIG = EvalConfig(
    metrics=[MetricConfig(name="accuracy"), MetricConfig(name="exact_match")],
    decoding=DECODING,
    threads_per_process=1,
    seed=1,
)
METRICS = [BUILT_IN["accuracy"], BUILT_IN["exact_match"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


def _run(model: Path, data: Path, work: Path, **more: Any) -> Outcome:
    return run_here(run, "jobs.eval", CONFIG, {"model": model, "data": data}, work, **more)


def _digest(outcome: Outcome) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in outcome.content.iterdir()}


def test_the_program_under_the_contract(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(20))
    outcome = run_program("jobs.eval", CONFIG, {"model": model, "data": data}, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr
    assert sorted(_digest(outcome)) == ["predictions.jsonl", "scores.json"]
    lines = [json.loads(line) for line in (outcome.content / "predictions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [one["id"] for one in label_examples(20)]
    wanted = {"id", "task", "label", "expected", "prediction", "parsed", "parse", "correct", "messages"}
    assert wanted <= set(lines[0])
    right = sum(line["correct"] for line in lines)
    assert outcome.counts["correct"] == right
    assert outcome.counts["examples"] == 20
    assert outcome.counts["metrics"]["accuracy"] == right / 20
    assert list(outcome.counts["metrics"]) == ["accuracy", "exact_match"]
    assert outcome.progress[-1]["step"] == outcome.progress[-1]["total"] == 20
    section = outcome.report("eval")  # named as the stage
    assert section["prefix_tokens"] > 20
    assert section["prefix_refused"] is None
    assert len(section["samples"]) == 20


def test_content_does_not_depend_on_batch_size_or_run(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(9))
    found = [
        _digest(_run(model, data, tmp_path / str(i), operation=Operation(batch_size=size)))
        for i, size in enumerate((4, 4, 9))
    ]
    assert found[0] == found[1] == found[2]


def test_a_request_to_stop_ends_the_program(model: Path, tmp_path: Path) -> None:
    def stop(program: Program) -> None:
        program.stop_requested = True

    with pytest.raises(Stopped, match="0 of 4 answers"):
        _run(model, data_folder(tmp_path / "data", label_examples(4)), tmp_path / "work", change=stop)


def test_no_held_out_examples(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"held_out.jsonl: no held-out examples: set data.held_out in run.yaml"):
        _run(model, data_folder(tmp_path / "data", []), tmp_path / "work")


def test_a_label_outside_the_label_set(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", [*label_examples(3), example(7, "weather", label="weather")])
    with pytest.raises(DataError, match=r"held-out example e0007 .*'weather' is not in the prompt's output format"):
        _run(model, data, tmp_path / "work")


def test_a_line_cut_in_half(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(3))
    path = data / "held_out.jsonl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match=r"held_out.jsonl:3: not an example"):
        _run(model, data, tmp_path / "work")


def test_an_example_without_an_expected_answer(model: Path, tmp_path: Path) -> None:
    one = example(0, "balance", label="balance")
    one["messages"].pop()
    with pytest.raises(DataError, match=r"held_out.jsonl:1: the last message must be the assistant's"):
        _run(model, data_folder(tmp_path / "data", [one]), tmp_path / "work")


def test_a_model_folder_without_weights(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(3))
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (model / name).exists():
            (folder / name).write_bytes((model / name).read_bytes())
    with pytest.raises(DataError, match=r"no weights: expected model.safetensors"):
        _run(folder, data, tmp_path / "work")


def _predicted(answers: list[str]) -> list[dict[str, Any]]:
    parse = parser(label_prompt())
    examples = label_examples(len(answers))
    return [
        predict(Example(one, one["label"]), answer, parse, METRICS)
        for one, answer in zip(examples, answers, strict=True)
    ]


def test_scores_by_hand() -> None:
    # expected: balance, transfer, out_of_scope, balance, transfer, out_of_scope
    lines = _predicted(["balance", "Transfer.", "balance", "no idea", "transfer", "out_of_scope"])
    result = scores(lines, METRICS, "hash")
    assert result["metrics"]["accuracy"]["correct"] == 4
    assert result["metrics"]["exact_match"]["correct"] == 3
    assert result["format"] == {"strict": 4, "repaired": 1, "failed": 1}
    assert result["by_task"]["chat"]["accuracy"] == pytest.approx(
        {
            "value": 1.0,
            "correct": 2,
            "n": 2,
            "low": 0.342,
            "high": 1.0,
            "kind": "binary",
            "lower_is_better": False,
        },
        abs=0.001,
    )
    assert result["by_label"]["balance"] == {
        "n": 2,
        "predicted": 2,
        "correct": 1,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "metrics": {metric.name: rate(lines[::3], metric) for metric in METRICS},
    }
    table = confusion(lines)
    assert table["rows"] == ["balance", "out_of_scope", "transfer"]
    assert table["columns"] == [*table["rows"], UNREADABLE]
    assert table["cells"] == [[0, 3, 1], [0, 0, 1], [1, 0, 1], [1, 1, 1], [2, 2, 2]]


def test_a_share_of_nothing_is_null() -> None:
    table = by_label(_predicted(["transfer"]))
    assert table["balance"]["precision"] is None
    assert table["transfer"]["recall"] is None


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": [1, None]}, {"a": [1.0, None]}, True),
        ({"a": True}, {"a": 1}, False),
        ([0], [False], False),
        ([1, 2], [1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ("1", 1, False),
    ],
)
def test_json_values_are_equal_as_json(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
