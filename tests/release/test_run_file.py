"""A run.yaml for a cluster: what is refused, and where."""

from pathlib import Path

import pytest

from sftjobs.errors import SpecError
from sftjobs.release.run_file import load_for_cluster

GOOD = """\
name: tickets
store: {uri: s3://bucket/sft, endpoint: "http://s3.example.org"}
model: s3://sft/models/tiny
prompt:
  input: "Ticket: {{ text }}"
  labels: {payment: about money, delivery: about parcels}
  output: {format: label}
data:
  tasks:
    tickets: {path: s3://sft/train.jsonl}
    extract:
      path: s3://sft/extract.jsonl
  general: {path: s3://sft/general.jsonl, ratio: 5}
  held_out: {path: s3://sft/test.jsonl}
"""


def problems(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """What a person sees."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "run.yaml"
    path.write_text(text)
    try:
        load_for_cluster(path)
    except SpecError as error:
        return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    return []


def test_a_run_without_local_paths(tmp_path: Path) -> None:
    assert problems(tmp_path) == []
    assert problems(tmp_path, ("s3://sft/models/tiny", "hf://org/model@main")) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("s3://sft/models/tiny", "../models/tiny", "run.yaml:3: model: '../models/tiny' is a path of one machine"),
        ("s3://sft/train.jsonl", "data/train.jsonl", "run.yaml:10: data.tasks.tickets.path: 'data/train.jsonl' is"),
        ("s3://sft/extract.jsonl", "/srv/x.jsonl", "run.yaml:12: data.tasks.extract.path: '/srv/x.jsonl' is a path"),
        ("s3://sft/general.jsonl", "general.jsonl", "run.yaml:13: data.general.path: 'general.jsonl' is a path"),
        ("s3://sft/test.jsonl", "test.jsonl", "run.yaml:14: data.held_out.path: 'test.jsonl' is a path of one"),
    ],
)
def test_a_local_path_is_refused_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    (found,) = problems(tmp_path, (old, new))
    assert found.startswith(expected)
    assert "`sftjobs push run.yaml` uploads local inputs" in found


def test_all_local_paths_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, ("s3://sft/models/tiny", "tiny"), ("s3://sft/train.jsonl", "t.jsonl"))
    assert [line.partition(": ")[0] for line in found] == ["run.yaml:3", "run.yaml:10"]


@pytest.mark.parametrize("store", ["/srv/store", "{uri: results}"])
def test_a_folder_is_no_store_of_a_cluster(tmp_path: Path, store: str) -> None:
    (found,) = problems(tmp_path, ('{uri: s3://bucket/sft, endpoint: "http://s3.example.org"}', store))
    assert found.startswith("run.yaml:2: store: ")
    assert "in a cluster the store is s3://bucket/prefix" in found


def test_no_store_at_all(tmp_path: Path) -> None:
    """Its default is a folder, and there is no line to show."""
    (found,) = problems(tmp_path, ('store: {uri: s3://bucket/sft, endpoint: "http://s3.example.org"}\n', ""))
    assert "in a cluster the store is s3://bucket/prefix" in found


def test_a_prompt_file_is_refused_before_it_is_looked_for(tmp_path: Path) -> None:
    prompt = GOOD[GOOD.index("prompt:") : GOOD.index("data:")]
    (found,) = problems(tmp_path, (prompt, "prompt: prompts/tickets.yaml\n"))
    assert found.startswith("run.yaml:4: prompt: 'prompts/tickets.yaml' is a file of one machine")


def test_other_mistakes_are_those_of_any_run_yaml(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, ("ratio: 5", "ratoi: 5"))
    assert found.startswith("run.yaml:13: data.general.ratoi: ")
    assert "ratio" in found
    assert problems(tmp_path, (GOOD, "- a list\n"))
    assert problems(tmp_path, (GOOD, ""))
    assert problems(tmp_path, (GOOD, "a: [\n"))
