"""A model from outside becomes a folder of safetensors: the same bytes each time, nothing of this machine in it."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from jobs.data.importer import run
from jobs.lm.render import Renderer, load_tokenizer
from jobs.lm.template import DEFAULT_TEMPLATE
from sftjobs.errors import DataError
from sftjobs.plan.configs import ImportConfig
from tests.support.program_runner import Outcome, run_here, run_program
from tests.support.tiny import tiny_model


def folder_digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def import_folder(source: Path, work: Path, dtype: str = "bfloat16") -> Outcome:
    return run_here(run, "jobs.data.importer", ImportConfig(format="folder", dtype=dtype), {"source": source}, work)


def test_folder_is_normalised_counted_and_the_same_each_time(tmp_path: Path) -> None:
    source = tiny_model(tmp_path / "source", pad_is_eos=True)
    first, second = import_folder(source, tmp_path / "a"), import_folder(source, tmp_path / "b")
    assert folder_digests(first.content) == folder_digests(second.content)
    assert set(folder_digests(first.content)) == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert first.counts["architecture"] == "LlamaForCausalLM"
    assert first.counts["parameters"] > 1000
    assert (first.counts["context_length"], first.counts["hidden_size"], first.counts["num_layers"]) == (512, 32, 2)
    config = json.loads((first.content / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    for path in first.content.glob("*.json"):
        assert str(tmp_path) not in path.read_text(), path.name


def test_padding_becomes_a_token_that_ends_nothing(tmp_path: Path) -> None:
    outcome = import_folder(tiny_model(tmp_path / "source", pad_is_eos=True), tmp_path / "work")
    tokenizer = load_tokenizer(outcome.content)
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.pad_token_id not in Renderer(tokenizer).stop_ids
    generation = json.loads((outcome.content / "generation_config.json").read_text())
    assert generation["eos_token_id"] == tokenizer.eos_token_id
    assert generation["pad_token_id"] == tokenizer.pad_token_id


def test_model_without_chat_template_gets_a_plain_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tiny_model(tmp_path / "source", template=None)
    outcome = import_folder(source, tmp_path / "work")
    assert "warning: " in capsys.readouterr().out
    assert load_tokenizer(outcome.content).chat_template == DEFAULT_TEMPLATE


def test_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"not a model")
    config = ImportConfig(format="gguf", dtype="float32")
    with pytest.raises(DataError, match=r"model\.gguf: not a GGUF file"):
        run_here(run, "jobs.data.importer", config, {"source": source}, tmp_path / "work")


def test_gguf_file_cut_short_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\x00" * 16)
    config = ImportConfig(format="gguf", dtype="float32")
    with pytest.raises(DataError, match="cannot be converted"):
        run_here(run, "jobs.data.importer", config, {"source": source}, tmp_path / "work")


@pytest.mark.skipif("SFTJOBS_TEST_GGUF" not in os.environ, reason="converts 98 MB: set SFTJOBS_TEST_GGUF to the file")
def test_real_gguf_file_becomes_a_folder_that_can_be_trained(tmp_path: Path) -> None:
    source = Path(os.environ["SFTJOBS_TEST_GGUF"]).resolve()
    config = ImportConfig(format="gguf", dtype="bfloat16")
    first, second = (
        run_program("jobs.data.importer", config, {"source": source}, tmp_path / name, timeout_s=300)
        for name in ("a", "b")
    )
    assert first.returncode == 0, first.stderr
    assert folder_digests(first.content) == folder_digests(second.content)
    assert (first.counts["parameters"], first.counts["context_length"]) == (134_515_008, 8192)
    tokenizer = load_tokenizer(first.content)
    assert tokenizer.model_max_length == 8192
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "X"}]
    [rendered] = Renderer(tokenizer).render([conversation])
    assert [i for i in rendered.labels if i >= 0] == [*tokenizer("X").input_ids, tokenizer.eos_token_id]
    for path in first.content.glob("*.json"):
        assert str(tmp_path) not in path.read_text(), path.name
