"""The data of examples are what their READMEs say, and fit their prompt files."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftjobs.spec.load import load
from sftjobs.spec.prompt import PromptSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXAMPLE = EXAMPLES / "zh-service"
DATA = EXAMPLE / "data"
DEPARTMENTS = EXAMPLES / "departments"
ROUTING = ("topics.jsonl", "keywords.csv", "held_out.jsonl")
FILES = (*ROUTING, "answers.jsonl", "general.jsonl")


def records(name: str) -> list[dict[str, Any]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)) if name.endswith(".csv") else [json.loads(line) for line in file]


@pytest.mark.parametrize("name", FILES)
def test_the_readme_counts_the_records(name: str) -> None:
    row = re.search(rf"^\| `{re.escape(name)}` \| (\d+) \|", (DATA / "README.md").read_text("utf-8"), re.M)
    assert row
    assert int(row.group(1)) == len(records(name))


@pytest.mark.parametrize("name", FILES)
def test_a_number_names_one_record(name: str) -> None:
    ids = [record["编号"] for record in records(name)]
    assert len(set(ids)) == len(ids)


def test_every_label_is_in_the_prompt_and_is_trained_and_held_out() -> None:
    prompt = load(EXAMPLE / "run.yaml", check_files=False).spec.prompt
    assert isinstance(prompt, PromptSpec)
    for name in ROUTING:
        counts = Counter(record["产品"] for record in records(name))
        assert set(counts) == set(prompt.labels)
        assert min(counts.values()) >= 15


def test_a_page_of_the_help_is_on_one_side() -> None:
    topics, keywords, held_out = ({record["页面"] for record in records(name)} for name in ROUTING)
    assert not (topics | keywords) & held_out


def test_answers_are_whole_texts_in_chinese() -> None:
    for record in records("answers.jsonl"):
        assert "。" in record["回答"]
        assert 30 <= len(record["回答"]) <= 400
        assert re.search("[\u4e00-\u9fff]", record["问题"])


def test_general_data_are_conversations_without_those_left_out() -> None:
    found = records("general.jsonl")
    assert all([message["role"] for message in record["messages"]] == ["user", "assistant"] for record in found)
    assert not {record["编号"] for record in found} & {f"seed_task_{n}" for n in (16, 67, 113, 151)}


def test_no_number_of_a_chinese_person() -> None:
    """Identity cards (18 digits) and mobile phones (11 digits): the help has none, and nobody should add one."""
    number = re.compile(r"(?<!\d)(?:\d{17}[\dXx]|1[3-9]\d{9})(?!\d)")
    assert not [name for name in FILES if number.search((DATA / name).read_text("utf-8"))]


def test_files_are_small_and_have_their_licences() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2**20
    assert "Mozilla Public License Version 2.0" in (DATA / "LICENSE").read_text("utf-8")
    assert "Attribution License (ODC-By)" in (DATA / "LICENSE.general").read_text("utf-8")


def test_the_run_with_free_answers_loads() -> None:
    assert load(EXAMPLE / "answers.yaml", check_files=False).spec.data.held_out.fraction


def test_departments_have_labels_of_their_own_and_every_one_is_held_out() -> None:
    prompt = load(DEPARTMENTS / "run.yaml", check_files=False).spec.prompt
    assert isinstance(prompt, PromptSpec)
    readme = (DEPARTMENTS / "data" / "README.md").read_text("utf-8")
    seen: list[str] = []
    for department in ("banking", "travel", "auto"):
        labels: list[list[str]] = []
        for name, each in ((department, 12), (f"{department}_held_out", 8)):
            lines = (DEPARTMENTS / "data" / f"{name}.jsonl").read_text("utf-8").splitlines()
            counts = Counter(json.loads(line)["label"] for line in lines)
            assert set(counts.values()) == {each}
            assert f"| `{name}.jsonl` | {len(lines)}: {each} of each" in readme
            labels.append(sorted(counts))
        assert labels[0] == labels[1]
        seen += labels[0]
    assert sorted(seen) == sorted(prompt.labels), "no label belongs to two departments"
