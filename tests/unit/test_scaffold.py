"""`sftjobs init`: what it writes is a run without a mistake but for the model that the user must name."""

import json
from pathlib import Path

import pytest

from sftjobs.errors import SpecError
from sftjobs.spec import scaffold
from sftjobs.spec.load import load


def gguf(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF\x03")
    return path


def test_the_new_run_asks_for_a_model_and_nothing_else(tmp_path: Path) -> None:
    written = scaffold.create(tmp_path / "new", "my-tickets")
    assert [str(path.relative_to(tmp_path / "new")) for path in written] == [
        "run.yaml",
        "prompts/my-tickets.yaml",
        "data/train.jsonl",
        "data/held_out.jsonl",
        "README.md",
        ".schema/run.schema.json",
        ".schema/prompt.schema.json",
    ]
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "new" / "run.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (5, "model")
    assert problem.message == "name the base model here: a folder, a GGUF file, or hf://org/name@revision"


@pytest.mark.parametrize("model", ["hf://org/name@main", "with space.gguf", "m: #.gguf"])
def test_with_a_model_it_loads(tmp_path: Path, model: str) -> None:
    target = tmp_path / "new"
    scaffold.create(target, "t", model=model)
    gguf(tmp_path).rename(target / model) if model.endswith(".gguf") else None
    loaded = load(target / "run.yaml")
    assert loaded.spec.model.path == model  # type: ignore[union-attr]
    assert loaded.spec.name == "t"


@pytest.mark.parametrize("folder", ["new", "deep/new", "link", "."])
def test_a_model_beside_the_new_folder_is_found_from_run_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    gguf(tmp_path)
    monkeypatch.chdir(tmp_path)
    scaffold.create(Path(folder), "t", model="./model.gguf")
    path = load(Path(folder) / "run.yaml").spec.model.path  # type: ignore[union-attr]
    assert (Path(folder).resolve() / path).resolve() == tmp_path / "model.gguf"
    assert Path(path).is_absolute() == (folder == "link")


def test_an_absolute_model_is_written_as_it_is(tmp_path: Path) -> None:
    model = gguf(tmp_path)
    scaffold.create(tmp_path / "new", "t", model=str(model))
    assert f"model: {model} " in (tmp_path / "new" / "run.yaml").read_text(encoding="utf-8")


def test_editors_find_the_schemas(tmp_path: Path) -> None:
    for path in scaffold.create(tmp_path, "t"):
        if path.suffix == ".yaml":
            first = path.read_text(encoding="utf-8").split("\n")[0]
            schema = path.parent / first.removeprefix("# yaml-language-server: $schema=")
            assert json.loads(schema.read_text(encoding="utf-8"))["$schema"].startswith("https://json-schema.org/")


def test_sample_data(tmp_path: Path) -> None:
    scaffold.create(tmp_path, "t")
    train, held_out = (
        [json.loads(line) for line in (tmp_path / "data" / name).read_text(encoding="utf-8").splitlines()]
        for name in ("train.jsonl", "held_out.jsonl")
    )
    assert (len(train), len(held_out)) == (32, 16)
    assert not {r["text"] for r in train} & {r["text"] for r in held_out}
    for records, each in ((train, 8), (held_out, 4)):
        labels = [record["label"] for record in records]
        assert {label: labels.count(label) for label in labels} == dict.fromkeys(
            ("payment", "delivery", "account", "product"), each
        )
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "32 training examples" in readme
    assert "16 examples" in readme


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "data" / "train.jsonl").write_text("mine")
    with pytest.raises(SpecError) as caught:
        scaffold.create(tmp_path, "t")
    way_out = "exists already; nothing was written; move it away or choose another folder with --folder"
    assert str(caught.value) == (f"{tmp_path}/data/train.jsonl: {way_out}\n{tmp_path}/README.md: {way_out}")
    assert not (tmp_path / "run.yaml").exists()
    assert (tmp_path / "README.md").read_text() == "mine"


def test_bad_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"init: 'My Run' cannot name a run: 1 to 30 characters"):
        scaffold.create(tmp_path / "new", "My Run")
    assert not (tmp_path / "new").exists()


def test_target_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(SpecError, match="is a file; give the name of a folder"):
        scaffold.create(tmp_path / "x", "t")


def test_parent_of_the_target_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(SpecError, match="cannot be written: Not a directory"):
        scaffold.create(tmp_path / "x" / "y", "t")
