"""The stage of the baselines: files, report, shots, and data that a baseline cannot learn from."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.answers.parse import parser
from jobs.eval.baselines.__main__ import run
from jobs.eval.baselines.answered import Task
from jobs.eval.baselines.classic import classic, questions
from jobs.eval.baselines.classifier import answers, choose_strength
from jobs.eval.baselines.shots import choose, common_start
from jobs.eval.examples import Example
from jobs.lm.render import Renderer
from sftjobs.errors import DataError
from sftjobs.plan.configs import BaselinesConfig, DecodingConfig, MetricConfig
from sftjobs.program import Program, Stopped
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.eval_data import LABELS, data_folder, example, label_examples, label_prompt
from tests.support.program_runner import REPOSITORY, Outcome, run_here, run_program
from tests.support.tiny import tiny_model, tiny_tokenizer

CONFIG = BaselinesConfig(
    metrics=[MetricConfig(name="accuracy"), MetricConfig(name="macro_f1")],
    decoding=DecodingConfig(max_new_tokens=4, seed=1),
    threads_per_process=1,
    seed=1,
    baselines=["likelihood", "few_shot", "classic"],
    shots=2,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), context=2048)


def _train(count: int) -> list[dict[str, Any]]:
    """Examples of three labels whose words say which one."""
    words = {"balance": "how much money", "transfer": "send dollars", "out_of_scope": "sing a song"}
    found = []
    for number in range(count):
        label = list(words)[number % 3]
        one = example(1000 + number, label, "intent", label)
        question = one["messages"][1]
        question["content"] = question["content"].partition("Message: ")[0] + f"Message: {words[label]} {number}"
        found.append(one)
    return found


def _data(folder: Path, train: list[dict[str, Any]], held_out: list[dict[str, Any]], **more: Any) -> Path:
    data_folder(folder, held_out, **more)
    (folder / "train.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in train))
    return folder


def _run(model: Path, data: Path, work: Path, config: BaselinesConfig = CONFIG, **more: Any) -> Outcome:
    return run_here(run, "jobs.eval.baselines", config, {"model": model, "data": data}, work, **more)


def _files(outcome: Outcome) -> dict[str, bytes]:
    return {str(p.relative_to(outcome.content)): p.read_bytes() for p in outcome.content.rglob("*") if p.is_file()}


def _lines(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (outcome.content / name / "predictions.jsonl").read_text().splitlines()]


def _examples(values: list[dict[str, Any]]) -> list[Example]:
    return [Example(one, one["messages"][-1]["content"]) for one in values]


def test_the_program_under_the_contract(model: Path, tmp_path: Path) -> None:
    data = _data(tmp_path / "data", _train(30), _train(42)[30:])
    outcome = run_program("jobs.eval.baselines", CONFIG, {"model": model, "data": data}, tmp_path / "work")
    assert outcome.returncode == 0, outcome.stderr
    names = ("classic", "few_shot", "likelihood")
    assert sorted(_files(outcome)) == [f"{n}/{f}" for n in names for f in ("predictions.jsonl", "scores.json")]
    section = outcome.report("eval")  # named as the stage
    for name in names:
        lines = _lines(outcome, name)
        assert [line["id"] for line in lines] == [one["id"] for one in _train(42)[30:]]
        right = sum(line["correct"] for line in lines)
        assert outcome.counts[name]["correct"] == right
        assert section[name]["metrics"]["accuracy"]["correct"] == right
        assert section[name]["seconds"] >= 0
    for name in ("likelihood", "classic"):
        assert all(line["prediction"] in LABELS and line["parse"] == "strict" for line in _lines(outcome, name))
    assert section["classic"]["metrics"]["accuracy"]["value"] == 1.0
    assert [point["examples"] for point in section["classic"]["curve"]] == [3, 6, 15, 30]
    assert set(section["few_shot"]["shot_ids"]) <= {one["id"] for one in _train(30)}
    assert {line["phase"] for line in outcome.progress} >= {"likelihood", "few-shot", "classic"}


def test_content_does_not_depend_on_the_run(model: Path, tmp_path: Path) -> None:
    data = _data(tmp_path / "data", _train(24), label_examples(6))
    first, second = (_files(_run(model, data, tmp_path / name)) for name in ("one", "two"))
    assert first == second


def test_a_request_to_stop(model: Path, tmp_path: Path) -> None:
    def stop(program: Program) -> None:
        program.stop_requested = True

    data = _data(tmp_path / "data", _train(24), label_examples(6))
    for name in CONFIG.baselines:
        with pytest.raises(Stopped):
            _run(model, data, tmp_path / name, CONFIG.model_copy(update={"baselines": [name]}), change=stop)


def test_free_text_gets_shots(model: Path, tmp_path: Path) -> None:
    prompt = PromptSpec(input="{{ text }}", output=OutputSpec(format="free"))
    train = [example(100 + number, f"it costs {number}") for number in range(6)]
    data = _data(tmp_path / "data", train, [example(number, "yes") for number in range(4)], prompt=prompt)
    config = CONFIG.model_copy(update={"baselines": ["few_shot"], "metrics": [MetricConfig(name="exact_match")]})
    outcome = _run(model, data, tmp_path / "work", config)
    assert outcome.report("eval")["few_shot"]["shots"] == 2
    assert len(_lines(outcome, "few_shot")) == 4


def test_shots_are_turns_with_the_instruction_once() -> None:
    renderer = Renderer(tiny_tokenizer())
    train, held_out = _examples(_train(30)), _examples(label_examples(3))
    shots = choose(train, held_out, renderer, shots=3, seed=5, room=None)
    assert {one.label for one in shots.examples} == set(LABELS)  # one of each
    messages = shots.before(held_out[0])
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 4]
    text = "\n".join(message["content"] for message in messages)
    assert text.count("Answer with one label.") == 1
    assert messages[1]["content"].startswith("Answer with one label.")
    assert messages[-2]["content"] == "Message: how much is it, question 0?"
    other = choose(train, held_out, renderer, shots=3, seed=6, room=None)
    assert [one.id for one in shots.examples] != [one.id for one in other.examples]
    again = choose(train[::-1], held_out, renderer, shots=3, seed=5, room=None)
    assert [one.id for one in shots.examples] == [one.id for one in again.examples]


def test_shots_are_never_held_out_or_general_data() -> None:
    train, held_out = _examples(_train(6)), _examples(_train(6)[:4])
    general = _examples([{**one, "id": f"g{one['id']}", "task": "general"} for one in _train(9)])
    shots = choose([*train, *general], held_out, Renderer(tiny_tokenizer()), shots=5, seed=1, room=None)
    assert sorted(one.id for one in shots.examples) == [one["id"] for one in _train(6)[4:]]


def test_shots_that_do_not_fit(model: Path, tmp_path: Path) -> None:
    renderer = Renderer(tiny_tokenizer())
    train, held_out = _examples(_train(30)), _examples(label_examples(3))
    alone = max(map(len, renderer.prompts([one.messages for one in held_out])))
    none = choose(train, held_out, renderer, shots=3, seed=1, room=alone + 5)
    assert none.examples == []
    assert none.too_long == 30
    assert none.before(held_out[0]) == held_out[0].messages
    some = choose(train, held_out, renderer, shots=30, seed=1, room=alone + 100)
    assert 0 < len(some.examples) < 30
    assert max(map(len, renderer.prompts([some.before(one) for one in held_out]))) <= alone + 100

    small = tiny_model(tmp_path / "small", context=alone + 100 + CONFIG.decoding.max_new_tokens)
    data = _data(tmp_path / "data", _train(30), label_examples(3))
    config = CONFIG.model_copy(update={"baselines": ["few_shot"], "shots": 30})
    section = _run(small, data, tmp_path / "work", config).report("eval")["few_shot"]
    assert section["shots"] == len(some.examples)
    assert any(f"{section['shots']} shots instead of 30: no other fits" in note for note in section["notes"])


def test_common_start_ends_with_a_line() -> None:
    assert common_start(["a\nMessage: one", "a\nMessage: other"]) == "a\n"
    assert common_start(["same\nsame", "same\nsame"]) == ""
    assert common_start(["one"]) == common_start([]) == ""


def _classic(train: list[dict[str, Any]], held_out: list[dict[str, Any]], tmp_path: Path) -> Any:
    found: list[Any] = []

    def collect(program: Program) -> None:
        task = Task(program, label_prompt(), _examples(train), _examples(held_out), 1)
        found.append(classic(task, parser(label_prompt())))

    run_here(collect, "jobs.eval.baselines", CONFIG, {}, tmp_path)
    return found[0]


def test_classic_with_one_label_only(tmp_path: Path) -> None:
    answered = _classic(_train(30)[::3], _train(39)[30:], tmp_path)
    assert set(answered.texts) == {"balance"}
    assert any("every training example has the label 'balance'" in note for note in answered.notes)
    assert any("6 of 9 held-out examples have a label without a training example" in note for note in answered.notes)


def test_classic_with_fewer_examples_than_labels(tmp_path: Path) -> None:
    answered = _classic(_train(2), _train(9)[3:], tmp_path)
    assert set(answered.texts) <= {"balance", "transfer"}
    assert any("fewer training examples (2) than labels (3)" in note for note in answered.notes)
    assert any("cross-validation could not choose" in note for note in answered.notes)


def test_classic_without_labelled_examples(tmp_path: Path) -> None:
    general = [{**one, "task": "general"} for one in _train(6)]
    with pytest.raises(DataError, match="no training example has a label; remove classic"):
        _classic(general, label_examples(3), tmp_path)


def test_texts_with_nothing_in_them() -> None:
    assert answers(["", " ", "?", ""], ["a", "b", "b", "b"], 1.0, ["", "x"]) == ["b", "b"]
    assert answers(["!", "?!", "?", "!!"], ["a", "b", "b", "a"], 10.0, ["!!!"]) == ["a"]
    assert choose_strength(["", "", "", ""], ["a", "b", "a", "b"], 0) is None


def test_the_curve_ends_with_all_examples(tmp_path: Path) -> None:
    answered = _classic(_train(60), _train(90)[60:], tmp_path)
    curve = answered.about["curve"]
    assert [point["examples"] for point in curve] == [6, 15, 30, 60]
    assert [len(point["draws"]) for point in curve] == [3, 3, 3, 1]
    assert all(point["low"] - 1e-9 <= point["accuracy"] <= point["high"] + 1e-9 for point in curve)
    doubling = answered.about["last_doubling"]
    assert doubling["examples"] == [30, 60]
    assert doubling["low"] <= doubling["difference"] <= doubling["high"]


def test_what_all_questions_share_is_no_feature() -> None:
    assert questions(_examples(_train(3))) == ["how much money 0", "send dollars 1", "sing a song 2"]


def test_chinese_questions() -> None:
    """Real questions to an office suite, eight products: most are wrong if Chinese characters are not features."""
    folder = REPOSITORY / "examples" / "zh-service" / "data"
    topics = [json.loads(line) for line in (folder / "topics.jsonl").read_text(encoding="utf-8").splitlines()]
    with (folder / "keywords.csv").open(encoding="utf-8-sig", newline="") as file:
        train = [*topics, *csv.DictReader(file)]
    held_out = [json.loads(line) for line in (folder / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]
    texts, labels = [one["问题"] for one in train], [one["产品"] for one in train]
    said = answers(texts, labels, 10.0, [one["问题"] for one in held_out])
    right = sum(a == one["产品"] for a, one in zip(said, held_out, strict=True))
    most = max(labels.count(label) for label in set(labels)) / len(labels)
    assert right / len(held_out) > 3 * most
