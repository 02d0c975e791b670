"""Association of words with labels and with answers, against the formulas written out for one term at a time."""

import json
import random
from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import pytest

from jobs.data.cooccurrence import answer_association, label_margins
from jobs.data.cooccurrence.answers import npmi_of_pairs, overlap
from jobs.data.cooccurrence.labels import npmi
from jobs.data.cooccurrence.terms import term_matrix, terms

CLINC = Path(__file__).parents[3] / "shared/data/clinc150_small.json"
GSM8K = Path(__file__).parents[3] / "shared/data/gsm8k_test.jsonl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pay the bill, pay!", {"pay", "the", "bill"}),
        ("怎么付款？", {"怎么", "么付", "付款"}),
        ("付", {"付"}),
        ("", set()),
    ],
)
def test_terms(text: str, expected: set[str]) -> None:
    assert terms(text) == expected


def test_term_matrix_has_the_terms_of_enough_and_not_too_many_texts() -> None:
    texts = ["a b c", "a b d", "a c e", "a c"]
    assert term_matrix(texts, 2).toarray().tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 1]]
    assert term_matrix(texts, 2, most_share=0.75).shape == (4, 2)
    assert term_matrix(texts, 1, most=2).toarray().tolist() == [[1, 1], [1, 0], [1, 1], [1, 1]], "the most frequent"
    assert term_matrix([], 2).shape == (0, 0)


def direct_npmi(joint: list[list[int]], term: int, label: int) -> float:
    """log(p(w, y) / (p(w) p(y))) / -log p(w, y), 1 added to each count."""
    counts = {(w, y): joint[w][y] + 1 for w in range(len(joint)) for y in range(len(joint[0]))}
    total = sum(counts.values())
    of_term = sum(count for (w, _), count in counts.items() if w == term) / total
    of_label = sum(count for (_, y), count in counts.items() if y == label) / total
    p = counts[term, label] / total
    return log(p / (of_term * of_label)) / -log(p)


def test_npmi_is_the_formula() -> None:
    joint = [[3, 0, 1], [0, 5, 0], [2, 2, 7]]
    expected = [[direct_npmi(joint, w, y) for y in range(3)] for w in range(3)]
    assert npmi(np.array(joint)) == pytest.approx(np.array(expected), abs=1e-12)


def test_margins_are_the_formula_with_the_own_text_left_out() -> None:
    texts = ["pay bill", "pay rent", "pay bill", "lost card", "lost card", "lost pay", "lost card bill", "unheard of"]
    labels = [0, 0, 0, 1, 1, 0, 1, 1]
    names = ["pay", "bill", "lost", "card"]  # each in at least 3 texts
    joint = [
        [sum(w in t.split() and y == k for t, y in zip(texts, labels, strict=True)) for k in (0, 1)] for w in names
    ]
    expected, better = [], []
    for text, label in zip(texts, labels, strict=True):
        found = [names.index(word) for word in text.split() if word in names]
        if not found:
            expected.append(float("nan"))
            better.append(label)
            continue
        total = sum(map(sum, joint)) + len(names) * 2
        means = [0.0, 0.0]
        for k in (0, 1):
            for w in found:
                p_term, p_label = (sum(joint[w]) + 2) / total, (sum(row[k] for row in joint) + len(names)) / total
                p = (joint[w][k] + 1 - (k == label)) / total
                means[k] += log(p / (p_term * p_label)) / -log(p) / len(found)
        expected.append(means[label] - means[1 - label])
        better.append(int(np.argmax(means)))
    found_margins = label_margins(lambda: texts, np.array(labels), 2)
    assert found_margins.margin == pytest.approx(np.array(expected), abs=1e-12, nan_ok=True)
    assert found_margins.suggestion.tolist() == better


def test_lowest_is_a_share_and_only_what_speaks_for_another_label() -> None:
    texts = ["pay bill"] * 10 + ["lost card"] * 10 + ["lost card"]
    found = label_margins(lambda: texts, np.array([0] * 10 + [1] * 10 + [0]), 2)
    assert found.lowest(1.0).tolist() == [20]
    assert found.suggestion[20] == 1
    assert found.lowest(0.0).tolist() == []


def test_no_frequent_term_is_no_verdict() -> None:
    found = label_margins(lambda: ["a", "b", "c"], np.array([0, 1, 0]), 2)
    assert np.isnan(found.margin).all()
    assert found.lowest(1.0).tolist() == []


@pytest.mark.skipif(not CLINC.exists(), reason="needs ../shared/data/clinc150_small.json")
def test_wrong_labels_of_real_questions_are_found() -> None:
    """150 labels, 5 % changed: chance would be right in 5 %."""
    rows = json.loads(CLINC.read_text("utf-8"))["train"]
    names = sorted({label for _, label in rows})
    labels = np.array([names.index(label) for _, label in rows])
    draw = random.Random(1)
    wrong = draw.sample(range(len(rows)), len(rows) // 20)
    given = labels.copy()
    given[wrong] = (labels[wrong] + 1 + np.array([draw.randrange(len(names) - 1) for _ in wrong])) % len(names)
    found = label_margins(lambda: (text for text, _ in rows), given, len(names))
    flagged = found.lowest(0.02)
    assert np.isin(flagged, wrong).mean() > 0.8
    assert (found.suggestion[flagged] == labels[flagged])[np.isin(flagged, wrong)].mean() > 0.8


def test_npmi_of_pairs_is_the_formula() -> None:
    pairs = [("a b", "x y"), ("a b", "x"), ("a c", "x z"), ("c", "z"), ("b", "y")]
    questions, answers = term_matrix((q for q, _ in pairs), 1), term_matrix((a for _, a in pairs), 1)
    for left_out in (0, 1):
        n = len(pairs) - left_out
        single = Counter(("q", w) for q, _ in pairs for w in q.split()) + Counter(
            ("a", w) for _, a in pairs for w in a.split()
        )
        expected = np.zeros((3, 3))
        for i, w in enumerate("abc"):
            for j, v in enumerate("xyz"):
                both = sum(w in q.split() and v in a.split() for q, a in pairs) - left_out
                if both > 0:
                    p, left, right = both / n, (single["q", w] - left_out) / n, (single["a", v] - left_out) / n
                    expected[i, j] = max(0.0, log(p / (left * right)) / -log(p))
        assert npmi_of_pairs(questions, answers, left_out) == pytest.approx(expected, abs=1e-6)


def test_overlap_counts_rare_terms_more() -> None:
    both = term_matrix(["a r", "a r x", "a s", "a y", "s", "s"], 1)
    a, r, s = log(6 / 4), log(6 / 2), log(6 / 3)
    x = y = log(6)
    assert overlap(both, np.arange(3)) == pytest.approx([(a + r) / (a + r + x), a / (a + y), 1.0])
    assert overlap(both, np.array([2, 0, 1])) == pytest.approx([0.0, a / (a + y), s / s])


@pytest.mark.skipif(not GSM8K.exists(), reason="needs ../shared/data/gsm8k_test.jsonl")
def test_exchanged_answers_are_found() -> None:
    """5 % of the answers are those of another question."""
    rows = [json.loads(line) for line in GSM8K.read_text("utf-8").splitlines()][:600]
    answers = [row["answer"] for row in rows]
    wrong = random.Random(2).sample(range(len(rows)), len(rows) // 20)
    for i, j in zip(wrong, wrong[1:] + wrong[:1], strict=True):
        answers[i] = rows[j]["answer"]
    pairs = [(row["question"], answer) for row, answer in zip(rows, answers, strict=True)]
    flagged = answer_association(lambda: iter(pairs)).lowest(0.02)
    assert len(flagged) >= 5
    assert np.isin(flagged, wrong).mean() > 0.8


@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_pairs_give_no_verdict(number: int) -> None:
    found = answer_association(lambda: iter([("pay the bill", "paid")] * number))
    assert len(found.score) == number
    assert np.isnan(found.score).all()
