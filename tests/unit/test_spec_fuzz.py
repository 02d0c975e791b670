"""Whatever is in run.yaml, `load` gives a spec or a SpecError with words for each problem."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftjobs.errors import SpecError
from sftjobs.spec.fields import Fields
from sftjobs.spec.render import render_spec
from sftjobs.spec.run import RunSpec
from tests.support.run_folder import PROMPT, RUN, RunFolder

KEYS = sorted({path.rpartition(".")[2].removesuffix("[]") for path in Fields(RunSpec).paths()} | {"tickets", "x"})
WORDS = st.sampled_from(
    [
        "1",
        "-1",
        "0.5",
        "1e-4",
        "auto",
        "''",
        "~",
        "true",
        "model",
        "train.jsonl",
        "{}",
        "[]",
        "[1]",
        "{env: A}",
        "s3://b/p",
        "label",
        "'{{ text }}'",
        "{{ text }}",
        "[a, b]",
        "{a: b}",
        "'a\\0b'",
        '"\\u0007"',
        "1000000000000000000000000000000",
        "regex",
        "json",
    ]
)
ENTRY = st.tuples(st.integers(0, 4), st.sampled_from(KEYS), WORDS | st.just(""))


FUZZ = settings(
    max_examples=int(os.environ.get("SFTJOBS_FUZZ_EXAMPLES", "25")), deadline=None, derandomize=True, database=None
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("fuzz"))


def outcome(run: RunFolder, text: bytes, prompt: str = PROMPT) -> None:
    run.write("run.yaml", text)
    run.write("prompt.yaml", prompt)
    try:
        render_spec(run.load().spec)
    except SpecError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message.strip()


@FUZZ
@given(text=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(run: RunFolder, text: bytes) -> None:
    outcome(run, text)


@FUZZ
@given(entries=st.lists(ENTRY, max_size=12))
def test_known_keys_with_any_values(run: RunFolder, entries: list[tuple[int, str, str]]) -> None:
    outcome(run, "".join(f"{'  ' * depth}{key}: {value}\n" for depth, key, value in entries).encode())


@FUZZ
@given(key=st.sampled_from(KEYS), value=WORDS, seed=st.integers(0, 2**32 - 1))
def test_one_value_replaced(run: RunFolder, key: str, value: str, seed: int) -> None:
    generator = random.Random(seed)
    lines = (RUN + f"train: {{{key}: {value}}}\nstore: {{{key}: {value}}}\n").splitlines()
    position = generator.randrange(len(lines))
    head = lines[position].partition(":")[0]
    lines[position] = f"{head}: {value}" if generator.random() < 0.5 else f"{head}: {{{key}: {value}}}"
    outcome(run, "\n".join(lines).encode())


@FUZZ
@given(entries=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KEYS), WORDS | st.just("")), max_size=8))
def test_any_prompt(run: RunFolder, entries: list[tuple[int, str, str]]) -> None:
    outcome(run, RUN.encode(), "".join(f"{'  ' * depth}{key}: {value}\n" for depth, key, value in entries))
