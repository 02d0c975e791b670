"""The data card and the Croissant description, from what the data stage really makes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.data.__main__ import run
from jobs.data.card import within
from jobs.data.card.differ import EXCERPT, side_by_side
from jobs.data.card.limit import MOST
from jobs.data.croissant import croissant
from sftjobs.plan.configs import DataConfig, DataCounts, SourceConfig
from sftjobs.report.build import build
from sftjobs.spec.data import ColumnMap
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.program_runner import Outcome, run_here
from tests.support.report_data import RUN, stage
from tests.support.tiny import tiny_tokenizer

PROMPT = PromptSpec(
    input="Message: {{ text }}",
    labels={"balance": "how much money", "greeting": "says hello"},
    output=OutputSpec(format="label"),
)
LONG = "please tell me how much money there is in my account on this fine morning of the second day of "
TRAIN = [
    {"text": f"{LONG}March", "label": "balance", "level": "easy"},
    {"text": f"{LONG}April", "label": "balance", "level": "easy"},
    {"text": f"{LONG}today", "label": "greeting", "level": "hard"},
    {"text": "good morning", "label": "greeting", "level": "easy"},
    {"text": "good morning", "label": "balance", "level": "easy"},
    {"text": "call me at 13812345678 or 13812345679", "label": "balance", "level": "hard"},
    {"text": "how much is left", "label": "balance", "level": "hard"},
]
HELD_OUT = [{"text": "HOW much is left", "label": "balance"}, {"text": "hi", "label": "greeting"}]


def source(name: str, **more: Any) -> SourceConfig:
    return SourceConfig(input=name, format="jsonl", output_column="label", **more)


CONFIG = DataConfig(
    prompt=PROMPT,
    tasks={"intent": source("task.intent", columns=ColumnMap(difficulty="level"))},
    held_out=source("held_out"),
    max_tokens=400,
    seed=1,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("card")
    tiny_tokenizer(folder / "model")
    inputs = {"model": folder / "model"}
    for name, records in (("task.intent", TRAIN), ("held_out", HELD_OUT)):
        inputs[name] = folder / f"{name}.jsonl"
        inputs[name].write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return run_here(run, "jobs.data", CONFIG, inputs, folder / "work")


@pytest.fixture(scope="module")
def section(made: Outcome) -> dict[str, Any]:
    return made.report("data")


def test_rules_have_their_meaning_and_what_they_did(section: dict[str, Any]) -> None:
    rules = {row["rule"]: row for row in section["rules"]}
    assert (rules["near_duplicate"]["dropped"], rules["held_out_exact"]["dropped"]) == (1, 1)
    assert (rules["conflict"]["marked"], rules["pii"]["marked"]) == (2, 1)
    assert rules["held_out_exact"]["meaning"] == "a training example asks what is held out"


def test_difficulties_and_personal_data(section: dict[str, Any]) -> None:
    assert section["difficulties"] == [
        {"difficulty": "easy", "train": 3, "held_out": 0, "dev": 0},
        {"difficulty": "hard", "train": 2, "held_out": 0, "dev": 0},
    ]
    assert section["pii"] == [{"kind": "phone", "records": 1, "finds": 2}]
    assert "13812345678" not in json.dumps({name: section[name] for name in ("rules", "pii", "funnel")})


def test_a_near_duplicate_stands_beside_the_one_before_it(section: dict[str, Any]) -> None:
    (pair,) = section["near_duplicates"]["shown"]
    assert (pair["left"]["line"], pair["right"]["line"], pair["rule"]) == (1, 2, "near_duplicate")
    assert [text for text, differs in pair["left"]["question"] if differs] == ["March"]
    assert [text for text, differs in pair["right"]["question"] if differs] == ["April"]


def test_boundary_examples_and_overlaps(section: dict[str, Any]) -> None:
    lines = {(pair["left"]["line"], pair["right"]["line"]) for pair in section["boundary"]["shown"]}
    assert (1, 3) in lines
    assert all(pair["left"]["answer"] != pair["right"]["answer"] for pair in section["boundary"]["shown"])
    (pair,) = section["overlaps"]["shown"]
    assert (pair["left"]["line"], pair["right"]["line"]) == (1, 7)


def test_the_page_shows_it(section: dict[str, Any]) -> None:
    html = build(RUN, [stage("data", "data", {"data": section}, 1.0)]).html.decode()
    assert "<ins>March</ins>" in html
    assert "phone number" in html


def test_texts_side_by_side() -> None:
    assert side_by_side("我的余额是多少", "我的欠款是多少") == (
        [("我的", False), ("余额", True), ("是多少", False)],
        [("我的", False), ("欠款", True), ("是多少", False)],
    )
    left, _ = side_by_side("x" * 1000, "")
    assert left == [("x" * (EXCERPT - 1) + "…", True)]


def test_a_section_is_never_larger_than_a_page_can_bear() -> None:
    examples = [{"id": str(i), "segments": [["字" * 200_000, False], ["right", True]]} for i in range(20)]
    cut = within({"funnel": [], "examples": examples})
    assert len(cut["examples"]) == 20
    assert cut["examples"][0]["segments"][0][0].startswith("字字")
    assert "194,000 characters are not shown here" in cut["examples"][0]["segments"][0][0]
    many = [{"id": str(i), "segments": [["字" * 5_000, False]] * 20} for i in range(20)]
    few = within({"funnel": [], "examples": many})
    assert 0 < len(few["examples"]) < 20
    assert len(json.dumps(few, ensure_ascii=False).encode()) <= MOST
    small = {"funnel": [], "examples": examples[:0]}
    assert within(small) is small


def test_croissant_names_files_and_fields(made: Outcome) -> None:
    counts = DataCounts.model_validate(made.counts)
    body = croissant("intent", made.content, CONFIG, counts)
    assert body == croissant("intent", made.content, CONFIG, counts)
    assert str(made.content.parent).encode() not in body
    found = json.loads(body)
    assert (found["@type"], found["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.0")
    assert {"@context", "name", "description", "distribution", "recordSet"} <= set(found)
    files = {one["@id"]: one for one in found["distribution"]}
    assert sorted(files) == ["held_out.jsonl", "ledger.parquet", "train.jsonl"]
    for name, one in files.items():
        content = (made.content / name).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
    line = json.loads((made.content / "train.jsonl").read_text("utf-8").splitlines()[0])
    for record_set in found["recordSet"]:
        names = [field["name"].rpartition("/")[2] for field in record_set["field"]]
        if record_set["name"] == "train":
            assert set(names) == set(line) - {"source"}
        for field in record_set["field"]:
            for one in field.get("subField", [field]):
                assert one["source"]["fileObject"]["@id"] in files


def test_croissant_has_a_dev_set_only_if_there_is_one(made: Outcome, tmp_path: Path) -> None:
    for path in made.content.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dev.jsonl").write_bytes(b"")
    found = json.loads(croissant("intent", tmp_path, CONFIG, DataCounts.model_validate(made.counts)))
    assert [one["name"] for one in found["recordSet"]] == ["train", "held_out", "dev", "ledger"]
