"""Questions to a ledger: which record is meant, which rules looked at it, and what an older ledger cannot say."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.data.clean import RULES as CLEANING
from jobs.data.ledger import _SCHEMA
from jobs.data.rules import NAMES
from jobs.data.why.__main__ import Request, answer
from jobs.data.why.ledger import COLUMNS
from jobs.data.why.rules_of import ORDER, actions
from sftjobs.errors import DataError
from sftjobs.plan.configs import DataConfig, MixtureConfig, SourceConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec

PROMPT = PromptSpec(input="{{ text }}", labels={"a": "first", "b": "second"}, output=OutputSpec(format="label"))
CONFIG = DataConfig(
    prompt=PROMPT, max_tokens=100, seed=1, held_out_fraction=0.5,
    tasks={"t": SourceConfig(input="task.t", format="jsonl", output_column="label", max_examples=2)},
)  # fmt: skip
SOURCE, OTHER = "5" * 64, "7" * 64
NAMES_OF = {SOURCE: ["/home/me/data/train.jsonl", "task.t"], OTHER: ["/home/me/data/test.csv", "held_out"]}
KNOWN = {"id", "user_id", "task", "source", "line", "split", "decision", "rule", "tokens", "supervised_tokens", "label"}
"""Columns of release 0.1.0."""


def row(id_: str | None, line: int, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(_SCHEMA.names)
    given = {"id": id_, "line": line, "task": "t", "source": SOURCE, "split": "train", "decision": "kept"}
    return {**empty, "flags": [], "boundary": False, "repaired": False, **given, **more}


def dropped(id_: str | None, line: int, rule: str, **more: Any) -> dict[str, Any]:
    return row(id_, line, decision="dropped", rule=rule, **more)


FIRST, SECOND, THIRD, LONG, HELD = "abcdef01" + "0" * 56, "abcdef02" + "0" * 56, "c" * 64, "d" * 64, "e" * 64
ROWS = [
    row(FIRST, 1, user_id="order-17", tokens=12, label="a"),
    dropped(FIRST, 2, "duplicate", related=FIRST),
    dropped(SECOND, 3, "near_duplicate", related=FIRST, user_id="order-18"),
    row(THIRD, 4, flags=["pii", "label_noise"], label_margin=-0.25, reason="1 phone"),
    dropped(LONG, 5, "too_long", reason="120 tokens"),
    row(HELD, 5, source=OTHER, split="held_out"),
    dropped(None, 9, "bad_record", reason="not JSON"),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS, schema=_SCHEMA), path)
    return path


def ask(ledger: Path, question: str | None, **more: Any) -> dict[str, Any]:
    given = {"ledger": str(ledger), "ask": question, "names": NAMES_OF, "config": CONFIG.model_dump(), **more}
    return answer(Request(**given))


@pytest.mark.parametrize(
    ("question", "line"),
    [(FIRST, 1), ("ABCDEF02", 3), ("order-18", 3), ("train.jsonl:4", 4), ("data/train.jsonl:4", 4), ("t:4", 4),
     ("task.t:4", 4), ("4", 4), ("9", 9), ("test.csv:5", 5)],
)  # fmt: skip
def test_a_record_is_found_by_what_a_person_has_at_hand(ledger: Path, question: str, line: int) -> None:
    assert ask(ledger, question)["line"] == line


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("abcdef", "means 3 records; give more of the id, or FILE:LINE:\n  abcdef0100000000  train.jsonl:1  t, train"),
        ("5", "means 2 records"),
        ("abcdee99", "the nearest are abcdef0100000000... and abcdef0200000000..."),
        ("order-19", "the nearest are 'order-18' and 'order-17'"),
        ("abc", "give at least 6 digits of an id"),
        ("train.json:4", "no source is called 'train.json'; the sources of the run are train.jsonl and test.csv"),
        (
            "train.jsonl:99",
            "no record begins in line 99; the first of this source begins in line 1, the last in line 9",
        ),
    ],
)
def test_no_record_or_several(ledger: Path, question: str, said: str) -> None:
    with pytest.raises(DataError) as error:
        ask(ledger, question)
    assert said in str(error.value)


def test_equal_records_are_one_answer_and_the_kept_one_comes_first(ledger: Path) -> None:
    found = ask(ledger, FIRST)
    assert (found["decision"], found["file"]) == ("kept", "train.jsonl")
    assert [(one["line"], one["rule"]) for one in found["same"]] == [(2, "duplicate")]


def test_the_path_of_a_dropped_record(ledger: Path) -> None:
    found = ask(ledger, "order-18")
    steps = {step["rule"]: step["outcome"] for step in found["rules"]}
    assert steps["duplicate"] == "passed"
    assert steps["near_duplicate"] == "dropped"
    assert steps["too_long"] == "not reached"
    assert steps["style"] == "off"
    assert found["meaning"] == "nearly the same question, with the same answer, came before"
    assert "data.duplicates.threshold" in found["way_out"]
    assert found["related"]["place"] == "train.jsonl:1"
    assert found["epochs"] is None


def test_marks_and_scores_of_a_kept_record(ledger: Path) -> None:
    found = ask(ledger, THIRD)
    assert [one["rule"] for one in found["flags"]] == ["pii", "label_noise"]
    assert found["scores"] == {"label_margin": -0.25, "answer_association": None}
    assert {step["rule"] for step in found["rules"] if step["outcome"] == "marked"} == {"pii", "label_noise"}


def test_a_held_out_record_is_not_looked_at_by_rules_about_training(ledger: Path) -> None:
    steps = {step["rule"]: step["outcome"] for step in ask(ledger, HELD)["rules"]}
    assert steps["held_out_exact"] == "not for this set"
    assert steps["pii"] == "passed"


def test_in_which_epochs_an_example_is_seen(ledger: Path) -> None:
    mixture = MixtureConfig(epochs={"t": 2.5}).model_dump()
    found = ask(ledger, FIRST, mixture=mixture, seed=1)["epochs"]
    other = ask(ledger, THIRD, mixture=mixture, seed=1)["epochs"]
    assert [one["uses"] for one in found[:2]] == [1, 1]
    assert found[2]["uses"] + other[2]["uses"] == 1, "half a pass draws one of two"


def test_the_counts_of_all(ledger: Path) -> None:
    found = ask(ledger, None)
    assert found["records"] == len(ROWS)
    assert found["sets"] == {"train": 2, "held_out": 1}
    assert [(one["rule"], one["records"]) for one in found["dropped"]] == [
        ("bad_record", 1), ("duplicate", 1), ("near_duplicate", 1), ("too_long", 1)
    ]  # fmt: skip
    assert found["dropped"][0]["first"] == [{"id": None, "source": SOURCE, "line": 9}]
    assert [(one["rule"], one["first"][0]["id"]) for one in found["marked"]] == [("pii", THIRD), ("label_noise", THIRD)]


def test_a_ledger_of_release_0_1_0(tmp_path: Path) -> None:
    rows = [{name: value for name, value in one.items() if name in KNOWN} for one in ROWS]
    rows[2]["rule"] = "in_held_out"  # the name that release had
    path = tmp_path / "old.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = ask(path, "order-18", config={"fields": "of another version"})
    assert found["not_recorded"] == [name for name in COLUMNS if name not in KNOWN]
    assert "another version" in found["meaning"]
    assert (found["rules"], found["way_out"], found["related"]) == (None, None, None)
    assert ask(path, None)["marked"] == []


def test_what_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.parquet").write_bytes(b"content of a stage")
    with pytest.raises(DataError, match=r"ledger\.parquet cannot be read"):
        ask(tmp_path / "ledger.parquet", None)


def test_raw_records_of_a_source(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\nhello,a\nyes,b\n", "utf-8")
    found = answer(Request(records=[{"path": str(path), "format": "csv", "lines": [3]}]))  # type: ignore[list-item]
    assert found == {"records": [{"3": {"text": "yes", "label": "b"}}]}


def test_every_rule_has_a_place_in_the_order_and_an_action() -> None:
    assert sorted(ORDER) == sorted(NAMES)
    assert sorted(actions(CONFIG)) == sorted(NAMES)
    assert [rule for rule in ORDER if rule in CLEANING] == list(CLEANING)


def test_a_place_means_one_of_equal_records(ledger: Path) -> None:
    found = ask(ledger, "train.jsonl:2")
    assert (found["line"], found["rule"]) == (2, "duplicate")
    assert [one["line"] for one in found["same"]] == [1]
