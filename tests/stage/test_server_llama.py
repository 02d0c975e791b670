"""A real server, llama.cpp, gets the renderer's tokens and nothing else.

Needs `xllamacpp`, in this environment or in that of the interpreter SFTJOBS_LLAMA_PYTHON.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from jobs.lm.render import Renderer
from jobs.lm.sampling import Sampling
from jobs.lm.server import running_server
from jobs.lm.server_generate import generate_by_server
from sftjobs.spec.eval import ServerSpec

ROOT = Path(__file__).parents[2]
GGUF = ROOT / ".models" / "SmolLM2-135M-Instruct.gguf"
PYTHON = os.environ.get("SFTJOBS_LLAMA_PYTHON")

if PYTHON is None and importlib.util.find_spec("xllamacpp") is None:
    pytest.skip(
        "xllamacpp is not installed (SFTJOBS_LLAMA_PYTHON names an interpreter that has it)", allow_module_level=True
    )
if not GGUF.is_file():
    pytest.skip(f"{GGUF} is missing: make {GGUF.relative_to(ROOT)}", allow_module_level=True)


def test_answers_of_llama_cpp(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(GGUF.parent, gguf_file=GGUF.name, local_files_only=True)
    tokenizer.save_pretrained(tmp_path)
    renderer = Renderer(tokenizer)
    asked = ["Say hello.", "Name three fruits.", "Name three fruits.", "Write a long story about a ship."]
    prompts = renderer.prompts([[{"role": "user", "content": text}] for text in asked])
    command = [
        PYTHON or sys.executable,
        "-P",
        str(ROOT / "tests/support/llama_server.py"),
        "{model}",
        "{port}",
        str(GGUF),
    ]
    with running_server(ServerSpec(command=command, start_s=120, concurrency=4), tmp_path) as server:
        # Every answer is refused whose prompt the server counts otherwise than the renderer.
        greedy, drawn = (
            generate_by_server(server, tokenizer, prompts, stop_ids=renderer.stop_ids, room=[24] * 4, sampling=sampling)
            for sampling in (Sampling(), Sampling(1.0, 0.95, seed=2))
        )
    texts = [answer.text or "" for answer in greedy.answers]
    assert "ello" in texts[0]
    assert texts[1] == texts[2]
    assert greedy.answers[1].ended
    assert not greedy.answers[3].ended
    assert not any("<|" in text for text in texts)
    assert greedy.prompt_tokens == sum(map(len, prompts))
    assert 24 < greedy.new_tokens <= 96
    assert drawn.answers[1].text != drawn.answers[2].text, "equal prompts have seeds of their own"
