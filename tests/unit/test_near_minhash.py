"""Candidates, and that with exact similarity nearly all pairs are found and no other."""

import random
from itertools import combinations

import numpy as np
import pytest

from jobs.data.near import bands_of, candidate_pairs, clusters, equal_sets, minhash, shingles, verify
from jobs.data.near.minhash import RECALL, bands_and_rows

ENGLISH = [f"{a}{b}" for a in ("pay", "card", "loan", "bank", "rate") for b in "abcdefghijklmnop"]
CHINESE = [chr(0x4E00 + i) for i in range(300)]


def make_texts(language: str, number: int, fixed: int = 0) -> list[str]:
    """Texts from a seed; half of them are earlier ones with up to three tokens changed. The first `fixed` tokens of all
    are equal."""
    draw = random.Random(f"{language} {fixed}")
    pool, joint = (CHINESE, "") if language == "zh" else (ENGLISH, " ")
    found: list[list[str]] = []
    for _ in range(number):
        if found and draw.random() < 0.5:
            one = list(draw.choice(found))
            for _ in range(draw.randint(0, 3)):
                one[draw.randrange(fixed, len(one))] = draw.choice(pool)
        else:
            one = pool[:fixed] + draw.choices(pool, k=draw.randint(12, 24) - fixed)
        found.append(one)
    return [joint.join(one) for one in found]


def alike_pairs(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    """All pairs of different sets that are alike, and each text with the first of an equal set."""
    sets = [shingles(text) for text in texts]
    first = [sets.index(one) for one in sets]
    found = {(first[i], i) for i in range(len(sets)) if first[i] != i}
    for a, b in combinations(sorted(set(first)), 2):
        shared = len(sets[a] & sets[b])
        if shared >= threshold * (len(sets[a]) + len(sets[b]) - shared):
            found.add((a, b))
    return found


def found_pairs(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    bands = bands_of(texts, threshold)
    leader = equal_sets(bands)
    distinct = np.flatnonzero(leader == np.arange(len(texts)))
    candidates = candidate_pairs(bands, distinct)
    verified = verify(candidates, lambda rows: [texts[i] for i in rows.tolist()], threshold)
    equal = {(int(leader[i]), i) for i in range(len(texts)) if leader[i] != i}
    return {(a, b) for a, b in verified.tolist()} | equal


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85])
@pytest.mark.parametrize("fixed", [0, 8])
def test_recall_and_no_false_pair(language: str, threshold: float, fixed: int) -> None:
    texts = make_texts(language, 300, fixed)
    truth = alike_pairs(texts, threshold)
    found = found_pairs(texts, threshold)
    assert found <= truth
    assert len(truth) > 30, "the test needs pairs to find"
    assert len(found) >= 0.98 * len(truth)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_bands_find_a_pair_at_the_threshold_in_160_bytes(threshold: float) -> None:
    bands, rows = bands_and_rows(threshold)
    assert 1 - (1 - threshold**rows) ** bands >= RECALL
    assert bands_of(["a text"], threshold).nbytes <= 160


def test_bands_depend_on_the_text_alone() -> None:
    texts = make_texts("zh", 20) + make_texts("en", 20)
    whole = bands_of(texts, 0.7)
    assert (whole == np.concatenate([bands_of([text], 0.7) for text in texts])).all()
    assert bands_of([], 0.7).shape == (0, whole.shape[1])


def test_bands_are_those_of_every_machine() -> None:
    assert bands_of(["How do I pay?", "怎么付款"], 0.9)[:, :2].tolist() == GOLDEN


GOLDEN = [[197949914, 2192769919], [942057087, 31401749]]


def test_equal_sets_are_numbered_by_the_first() -> None:
    texts = ["pay the bill", "怎么付款", "Pay the BILL!", "怎么 付款？", "pay the bills"]
    assert equal_sets(bands_of(texts, 0.7)).tolist() == [0, 1, 0, 1, 4]
    assert equal_sets(bands_of([], 0.7)).tolist() == []


def test_candidates_are_in_order_once_and_only_of_the_rows_given() -> None:
    bands = np.array([[1, 5, 0, 0], [1, 5, 0, 1], [2, 5, 0, 2], [3, 6, 0, 3], [3, 5, 0, 4]], np.uint32)
    assert candidate_pairs(bands, np.arange(5)).tolist() == [[0, 1], [0, 2], [0, 4], [1, 2], [1, 4], [2, 4], [3, 4]]
    assert candidate_pairs(bands, np.array([4, 0, 3])).tolist() == [[0, 4], [3, 4]]
    assert candidate_pairs(bands, np.array([], np.int64)).shape == (0, 2)


def test_a_phrase_that_all_texts_share_gives_few_pairs_and_all_are_connected() -> None:
    number = 3000
    bands = np.zeros((number, 3), np.uint32)
    pairs = candidate_pairs(bands, np.arange(number))
    assert len(pairs) <= 2 * 50 * number
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert (clusters(number, pairs) == 0).all()


def test_of_too_many_candidates_those_that_share_most_bands_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash, "MOST", 2)
    bands = np.array([[1, 5, 7, 0, 0], [1, 6, 9, 0, 1], [1, 5, 8, 0, 2], [2, 4, 8, 0, 3]], np.uint32)
    assert candidate_pairs(bands, np.arange(4)).tolist() == [[0, 1], [0, 2]]
