"""Bad cases: what is one, the training examples near it, and that the next round's data stage reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from jobs.data.__main__ import run as data_stage
from jobs.eval.bad_cases import bad_cases, goodness, is_bad
from jobs.eval.compare import run as compare
from jobs.eval.lines import read_lines, write_lines
from jobs.eval.nearest import CHUNK, CLOSE, add_nearest
from jobs.eval.shown import MAX_NEAREST_BYTES, for_report, nearest_for_report
from jobs.eval.varying import Varying
from sftjobs.canonical import digest
from sftjobs.errors import DataError
from sftjobs.plan.configs import CompareConfig, DataConfig, SourceConfig
from sftjobs.spec.data import DuplicatesSpec
from tests.support.program_runner import run_here
from tests.support.report_data import PROMPT, predictions, training_file
from tests.support.tiny import tiny_tokenizer


def _case(question: str, label: str | None, **more: Any) -> dict[str, Any]:
    answer = label or "some text"
    prompt = f"Which topic is it?\nOne of: a, b.\n\nMessage: {question}\n\nAnswer with the topic."
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {
        "id": digest([question, label]),
        "task": "t",
        "label": label,
        "expected": answer,
        "messages": messages,
        **more,
    }


def _train(path: Path, *pairs: tuple[str, str]) -> Path:
    path.write_text("".join(json.dumps(_case(*pair), ensure_ascii=False) + "\n" for pair in pairs), encoding="utf-8")
    return path


def test_the_nearest_of_another_label_are_a_hint_and_of_the_same_label_none(tmp_path: Path) -> None:
    train = _train(
        tmp_path / "train.jsonl",
        ("please block my stolen card", "lost"),
        ("block my stolen card now", "lost"),
        ("how is the weather in Paris", "weather"),
        ("will it rain tomorrow", "weather"),
    )
    cases = [_case("please block my stolen card now", "weather"), _case("please block my stolen card!", "lost")]
    add_nearest(cases, train)
    assert [one["answer"] for one in cases[0]["nearest"][:2]] == ["lost", "lost"]
    assert cases[0]["nearest"][0]["question"] == "please block my stolen card"
    assert cases[0]["nearest"][0]["similarity"] > cases[0]["nearest"][1]["similarity"] > CLOSE
    assert cases[0]["nearest_contradicts"] is True
    assert cases[1]["nearest_contradicts"] is False


def test_chinese_questions_have_neighbours_without_a_word_list(tmp_path: Path) -> None:
    train = _train(
        tmp_path / "train.jsonl", ("我的信用卡丢了怎么办", "挂失"), ("今天天气怎么样", "天气"), ("转账要多久", "转账")
    )
    cases = [_case("信用卡丢了，请帮我挂失", "挂失")]
    add_nearest(cases, train)
    assert cases[0]["nearest"][0]["question"] == "我的信用卡丢了怎么办"
    assert cases[0]["nearest"][0]["answer"] == "挂失"


def test_answers_that_are_no_labels_and_far_ones_contradict_nothing(tmp_path: Path) -> None:
    train = _train(tmp_path / "train.jsonl", ("please block my stolen card", "lost"), ("rain tomorrow", "weather"))
    cases = [_case("please block my stolen card", None), _case("zzzz", "weather")]
    add_nearest(cases, train)
    assert cases[0]["nearest"][0]["similarity"] == 1.0
    assert [case["nearest_contradicts"] for case in cases] == [None, None]


def test_the_nearest_are_those_of_a_search_over_everything(tmp_path: Path) -> None:
    """Against scikit-learn's TfidfVectorizer on all texts at once; of equally like ones the earlier line wins."""
    lines = predictions(2 * CHUNK + 100, 0.5, 0, 1)
    train = training_file(tmp_path, lines)
    cases = bad_cases(predictions(40, 0.2, 0, 2), predictions(40, 0.2, 0, 3), "accuracy")
    seen: list[tuple[int, int]] = []
    add_nearest(cases, train, lambda done, total: seen.append((done, total)))
    assert seen == [(CHUNK, len(lines)), (2 * CHUNK, len(lines)), (len(lines), len(lines))]

    def question(example: dict[str, Any]) -> str:
        text: str = example["messages"][0]["content"]
        return text.split("Message: ")[1]

    vectors = TfidfVectorizer(analyzer="char", ngram_range=(2, 4))
    trained = vectors.fit_transform([question(one) for one in read_lines(train)])
    likeness = (vectors.transform([question(case) for case in cases]) @ trained.T).toarray()
    same = 0
    for case, expected in zip(cases, likeness, strict=True):
        best = np.argsort(-expected, kind="stable")[:3]
        found = np.array([one["similarity"] for one in case["nearest"]])
        assert sorted(found, reverse=True) == list(found)
        # A run that no training example has makes a question longer here: by a factor that is the same for all.
        same += found / found[0] == pytest.approx(expected[best] / expected[best[0]], abs=2e-3)
    assert same >= 0.9 * len(cases), "two runs may share a feature by chance"


def test_a_line_that_is_no_example_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"id": "1"}\n')
    with pytest.raises(DataError, match=r"train\.jsonl:1: not an example of the data stage"):
        add_nearest([_case("x", "a")], path)


def test_what_varies_is_cut_at_a_line_or_colon_at_both_ends() -> None:
    varying = Varying()
    questions = ["Topics: a\nMessage: transfer it\nAnswer:", "Topics: a\nMessage: transit pass\nAnswer:"]
    for question in questions:
        varying.see("t", question)
    assert [varying.part("t", question) for question in questions] == ["transfer it", "transit pass"]
    varying.see("alone", "only one\nof them")
    assert varying.part("alone", "only one\nof them") == "only one\nof them"


@pytest.mark.parametrize(
    ("score", "base", "lower_is_better", "bad"),
    [
        (False, True, False, True),
        (True, False, False, False),
        (0.49, 0.2, False, True),
        (0.51, 0.55, False, False),
        (0.75, 0.9, False, True),
        (0.6, 2.0, True, False),  # exp(-0.6) = 0.55
        (0.8, 2.0, True, True),  # exp(-0.8) = 0.45
        (0.5, 0.2, True, True),  # 0.61 against 0.82
        (None, 0.9, False, True),
        (0.9, None, False, False),
    ],
)
def test_what_a_bad_case_is(score: float | None, base: float | None, lower_is_better: bool, bad: bool) -> None:
    assert is_bad(goodness(score, lower_is_better), goodness(base, lower_is_better)) is bad


def test_of_numbers_the_worst_comes_first_and_what_has_none_last() -> None:
    scores = [0.4, 0.9, None, 0, 0.3]  # a file holds 0.0 as 0
    lines = predictions(5, 0.5, 0, 1)
    tuned = [{**line, "scores": {"chrf": score}} for line, score in zip(lines, scores, strict=True)]
    base = [{**line, "scores": {"chrf": 0.5}} for line in lines]
    assert [case["score"] for case in bad_cases(tuned, base, "chrf")] == [0, 0.3, 0.4, None]


def test_seeds_say_in_how_many_a_case_is_bad() -> None:
    tuned, base = predictions(60, 0.5, 0, 1), predictions(60, 0.4, 0, 2)
    others = [predictions(60, 0.5, 0, 3), predictions(60, 0.5, 0, 4)]
    for case in bad_cases(tuned, base, "accuracy", seeds=others):
        wrong = sum(not line["correct"] for lines in others for line in lines if line["id"] == case["id"])
        assert (case["seeds_wrong"], case["seeds"]) == (1 + wrong, 3)


def test_training_examples_shown_have_a_limit_in_bytes(tmp_path: Path) -> None:
    tuned, base = predictions(2_000, 0.0, 0, 1, "长" * 500), predictions(2_000, 0.0, 0, 2, "长" * 500)
    cases = bad_cases(tuned, base, "accuracy")
    add_nearest(cases, training_file(tmp_path, tuned[:500]))
    section = nearest_for_report(cases, for_report(cases, tuned))
    texts = [section["training"][one] for found in section["cases"].values() for one, _ in found]
    assert len(texts) > 1_000
    assert sum(len("".join(text).encode()) for text in texts) <= MAX_NEAREST_BYTES


def test_the_next_round_reads_the_bad_cases(tmp_path: Path) -> None:
    """compare -> bad_cases.jsonl -> data.tasks.<task>.path: the same questions and expected answers to train on."""
    tuned, base = predictions(120, 0.6, 0.1, 1), predictions(120, 0.3, 0.1, 2)
    for role, lines in (("tuned", tuned), ("base", base)):
        (tmp_path / role).mkdir()
        write_lines(tmp_path / role / "predictions.jsonl", lines)
    (tmp_path / "data").mkdir()
    training_file(tmp_path / "data", tuned)
    inputs = {role: tmp_path / role for role in ("tuned", "base", "data")}
    config = CompareConfig(metric="accuracy", confidence=0.95, bootstrap_draws=1_000, seed=1)
    compared = run_here(compare, "jobs.eval.compare", config, inputs, tmp_path / "compare")
    cases = read_lines(compared.content / "bad_cases.jsonl")
    assert cases[0]["nearest"]

    def source(name: str) -> SourceConfig:
        return SourceConfig(input=name, format="jsonl", output_column="label")

    tasks = {"intent": source("task.intent")}
    write_lines(tmp_path / "held_out.jsonl", [_case(f"another question {i}", "balance") for i in range(5)])
    alike = DuplicatesSpec(near="off")  # these made-up questions differ by their number only
    config_ = DataConfig(
        prompt=PROMPT, tasks=tasks, held_out=source("held_out"), max_tokens=2_000, seed=1, duplicates=alike
    )
    tiny_tokenizer(tmp_path / "model")
    given = {
        "model": tmp_path / "model",
        "task.intent": compared.content / "bad_cases.jsonl",
        "held_out": tmp_path / "held_out.jsonl",
    }
    train = read_lines(run_here(data_stage, "jobs.data", config_, given, tmp_path / "next").content / "train.jsonl")
    assert [one["messages"] for one in train] == [case["messages"] for case in cases]
    assert [one["label"] for one in train] == [case["expected"] for case in cases]
