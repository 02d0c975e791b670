"""The evaluation of one model: files, counts, report section, and what a person sees when something is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.answers.metrics import BUILT_IN
from jobs.answers.metrics.classes import UNREADABLE
from jobs.answers.parse import parser
from jobs.answers.predict import predict
from jobs.answers.same import same
from jobs.eval.__main__ import run
from jobs.eval.score import by_label, confusion, rate, scores
from jobs.lm.load import load_model
from jobs.lm.render import load_tokenizer
from sftjobs.errors import DataError
from sftjobs.plan.configs import DecodingConfig, EvalConfig, MetricConfig
from sftjobs.plan.types import Operation
from sftjobs.program import Program, Stopped
from tests.support.eval_data import data_folder, example, label_examples, label_prompt
from tests.support.program_runner import Outcome, run_here, run_program
from tests.support.tiny import END_OF_TURN, tiny_model

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


def _run(model: Path, data: Path, work: Path, config: EvalConfig = CONFIG, **more: Any) -> Outcome:
    return run_here(run, "jobs.eval", config, {"model": model, "data": data}, work, **more)


def _digest(outcome: Outcome) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in outcome.content.iterdir()}


def test_the_program_under_the_contract(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(20))
    outcome = run_program("jobs.eval", CONFIG, {"model": model, "data": data}, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr
    assert sorted(_digest(outcome)) == ["predictions.jsonl", "scores.json"]
    lines = [json.loads(line) for line in (outcome.content / "predictions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [one["id"] for one in label_examples(20)]
    wanted = {"id", "task", "label", "expected", "prediction", "parsed", "parse", "parse_class", "ended", "scores"}
    assert wanted | {"score_notes", "correct", "messages"} <= set(lines[0])
    right = sum(line["correct"] for line in lines)
    assert outcome.counts["correct"] == right
    assert outcome.counts["examples"] == outcome.counts["scored"] == 20
    assert (outcome.counts["kind"], outcome.counts["lower_is_better"]) == ("binary", False)
    assert outcome.counts["metrics"]["accuracy"] == right / 20
    assert list(outcome.counts["metrics"]) == ["accuracy", "exact_match"]
    assert outcome.progress[-1]["step"] == outcome.progress[-1]["total"] == 20
    section = outcome.report("eval")  # named as the stage
    assert section["prefix_tokens"] > 20
    assert section["prefix_refused"] is None
    assert len(section["samples"]) == 20


def _config(*names: str, **more: Any) -> EvalConfig:
    return CONFIG.model_copy(update={"metrics": [MetricConfig(name=name) for name in names], **more})


def test_no_answer_that_can_be_read_is_said_in_words(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(40))  # a random model never says a label
    outcome = run_program("jobs.eval", _config("macro_f1"), {"model": model, "data": data}, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr
    section = outcome.report("eval")
    assert section["format"] == {"strict": 0, "repaired": 0, "failed": 40}
    assert sum(section["parse_classes"].values()) == 40
    assert section["metrics"]["macro_f1"]["value"] == 0.0
    first = section["parse_failures"][0]
    assert section["parse_classes"][first["class"]] == first["count"]
    assert {"id", "expected", "prediction"} == set(first["samples"][0])
    [said] = [note for note in section["notes"] if note.startswith("not one answer could be read: ")]
    assert f"{first['count']} {first['class']} ({first['meaning']}), e.g. " in said
    assert f"note: {said}" in outcome.stdout
    assert outcome.counts["correct"] is None
    assert outcome.counts["kind"] == "set"


def test_five_examples_of_one_label(model: Path, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data", label_examples(15)[::3])
    section = _run(model, data, tmp_path / "work", config=_config("macro_f1", "accuracy")).report("eval")
    few, one_label, *_ = section["notes"]
    assert few == (
        "5 held-out examples say little: the true macro_f1 may lie anywhere from 0.00 to 0.43. "
        "Hold out more, at least 30, better some hundred"
    )
    assert one_label.startswith("every held-out example expects the label 'balance'")
    assert section["metrics"]["macro_f1"]["high"] == pytest.approx(0.434, abs=0.001)  # Wilson, 0 of 5


def test_the_loss_is_that_of_the_model(model: Path, tmp_path: Path) -> None:
    examples = label_examples(7)
    earlier = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "greeting"}]
    examples[3]["messages"][1:1] = earlier  # an answer before the last does not count
    data = data_folder(tmp_path / "data", examples)
    outcome = _run(model, data, tmp_path / "work", config=_config("loss"), operation=Operation(batch_size=3))
    lines = [json.loads(line) for line in (outcome.content / "predictions.jsonl").read_text().splitlines()]
    network, tokenizer = load_model(model, torch.float32), load_tokenizer(model)
    for line, one in zip(lines, examples, strict=True):
        prompt = tokenizer.apply_chat_template(one["messages"][:-1], add_generation_prompt=True, tokenize=False)
        start = len(tokenizer(prompt)["input_ids"])
        ids = tokenizer(prompt + one["messages"][-1]["content"] + END_OF_TURN)["input_ids"]
        labels = [-100] * start + ids[start:]
        with torch.inference_mode():
            theirs = network(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        assert line["scores"]["loss"] == pytest.approx(float(theirs), abs=1e-5)
        assert line["correct"] is None
    metric = outcome.report("eval")["metrics"]["loss"]
    assert metric["value"] == pytest.approx(sum(line["scores"]["loss"] for line in lines) / 7)
    assert metric["low"] < metric["value"] < metric["high"]
    assert metric["lower_is_better"] is True


def test_an_example_beyond_the_context_has_no_loss_and_a_reason(tmp_path: Path) -> None:
    short = tiny_model(tmp_path / "model", context=256)
    examples = label_examples(4)
    examples[1]["messages"][1]["content"] += " word" * 200
    data = data_folder(tmp_path / "data", examples)
    outcome = _run(short, data, tmp_path / "work", config=_config("accuracy", "loss"))
    section = outcome.report("eval")
    assert section["metrics"]["loss"]["n"] == 3
    assert any(
        note.startswith("loss: 1 of 4 examples have no score and are left out: question and")
        for note in section["notes"]
    )
    assert any(note.startswith("1 of 4 prompts leave no room") for note in section["notes"])
    line = json.loads((outcome.content / "predictions.jsonl").read_text().splitlines()[1])
    assert line["scores"]["loss"] is None
    assert line["score_notes"]["loss"].endswith("more than the model's 256")


def test_a_metric_of_the_users_own(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "length.py"
    file.write_text("def score(expected, answer, example):\n    return min(1.0, len(answer) / 100)\n")
    data = data_folder(tmp_path / "data", label_examples(6))
    config = CONFIG.model_copy(update={"metrics": [MetricConfig(name="length", input="metric.0", function="score")]})
    inputs = {"model": model, "data": data, "metric.0": file}
    outcome = run_here(run, "jobs.eval", config, inputs, tmp_path / "work")
    lines = [json.loads(line) for line in (outcome.content / "predictions.jsonl").read_text().splitlines()]
    assert [line["scores"]["length"] for line in lines] == [min(1.0, len(line["prediction"]) / 100) for line in lines]
    assert outcome.counts["kind"] == "mean"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["json_f1"], r"eval.metrics: json_f1 is for output format json, but the prompt's is 'label'"),
        (["numeric"], r"eval.metrics: numeric can score no held-out example: the expected answer holds no number"),
        (["bleu"], r"eval.metrics: there is no metric 'bleu'"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_before_the_model_is_loaded(
    tmp_path: Path, names: list[str], message: str
) -> None:
    data = data_folder(tmp_path / "data", label_examples(3))
    with pytest.raises(DataError, match=message):
        _run(tmp_path, data, tmp_path / "work", config=_config(*names))


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
    return [predict(one, one["label"], answer, parse, METRICS) for one, answer in zip(examples, answers, strict=True)]


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
