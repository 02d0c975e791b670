"""`python -m jobs.data.check`: every problem at once, tables, rendered examples, advice."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.data.check import Request, check
from sftjobs.plan.configs import DataConfig, SourceConfig
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.tiny import END_OF_TURN, tiny_tokenizer

CONFIG = DataConfig(
    prompt=PromptSpec(
        input="Message: {{ text }}", labels={"balance": "money", "hello": "greets"}, output=OutputSpec(format="label")
    ),
    tasks={"intent": SourceConfig(input="task.intent", format="jsonl", output_column="label")},
    held_out=SourceConfig(input="held_out", format="csv", output_column="label"),
    max_tokens=60,
    seed=1,
)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    train = [{"text": f"message {i}", "label": "balance"} for i in range(20)]
    train.append({"text": " ".join(map(str, range(150))), "label": "hello"})
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in train))
    (tmp_path / "test.csv").write_text("text,label\nmessage 3,balance\nhi,hello\n")
    return {"task.intent": str(tmp_path / "train.jsonl"), "held_out": str(tmp_path / "test.csv")}


@pytest.fixture
def model(tmp_path: Path) -> str:
    tiny_tokenizer(tmp_path / "model")
    return str(tmp_path / "model")


def ask(inputs: dict[str, str], model: str | None, **more: Any) -> dict[str, Any]:
    return check(Request(model=model, config=CONFIG, inputs=inputs, **more))


def test_good_data_gives_tables_and_rendered_examples(inputs: dict[str, str], model: str) -> None:
    answer = ask(inputs, model, show=2)
    assert answer["problems"] == [] and answer["notes"] == []
    tables = answer["tables"]
    assert tables["tasks"][0] == {
        "task": "intent",
        "side": "train",
        "records": 21,
        "kept": 19,
        "dropped": {"held_out_exact": 1, "too_long": 1},
    }
    assert tables["labels"][0] == {"label": "balance", "train": 19, "held_out": 1}
    assert (tables["tokens"]["counted"], tables["tokens"]["too_long"]) == (20, 1)
    assert len(answer["rendered"]) == 2
    assert [text for text, trained in answer["rendered"][0]["segments"] if trained] == ["balance" + END_OF_TURN]
    assert answer["facts"]["labels"] == {"balance": 19, "hello": 0}


def test_all_problems_come_at_once(inputs: dict[str, str], model: str) -> None:
    with Path(inputs["task.intent"]).open("a") as file:
        file.write('{"txt": "a", "label": "balance"}\n{"text": "b", "label": "Helo"}\n{"text": "c", "lab\n')
    Path(inputs["held_out"]).write_text("text,label\n")
    (Path(model) / "tokenizer.json").unlink()
    answer = ask(inputs, model)
    found = {(problem["kind"], problem["line"]) for problem in answer["problems"]}
    assert found == {("model", None), ("column", 22), ("label", 23), ("json", 24), ("file", None)}
    assert answer["tables"]["tokens"] is None and answer["rendered"] == []


def test_without_a_model_everything_but_tokens_is_checked(inputs: dict[str, str]) -> None:
    answer = ask(inputs, None)
    assert answer["problems"] == [] and answer["tables"]["tokens"] is None
    assert answer["tables"]["labels"][0]["train"] == 19
    assert "no tokens were counted" in answer["notes"][0]


def test_large_data_is_sampled_and_says_so(inputs: dict[str, str], model: str) -> None:
    answer = ask(inputs, model, max_counted=10)
    assert answer["tables"]["tokens"]["counted"] < 11
    assert any("training examples" in note and "tokens were counted on" in note for note in answer["notes"])
    note = "5 of 21 records of {} were looked at, in 5 pieces spread over the file"
    assert ask(inputs, None, max_records=5)["notes"][0] == note.format(inputs["task.intent"])


def test_nothing_left_is_a_problem(inputs: dict[str, str]) -> None:
    Path(inputs["task.intent"]).write_text('{"text": "hi", "label": "hello"}\n')
    [problem] = ask(inputs, None)["problems"]
    assert problem["kind"] == "empty" and "held_out_exact 1" in problem["message"]


def test_the_command_prints_one_json_object_without_importing_torch(inputs: dict[str, str], model: str) -> None:
    request = Path(model).parent / "request.json"
    request.write_text(Request(model=model, config=CONFIG, inputs=inputs).model_dump_json())
    code = (
        "import sys; from jobs.data.check import main; main(['--request', sys.argv[1]]); "
        "sys.exit(9 if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(request)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problems"] == []


def test_what_would_be_skipped_is_said(inputs: dict[str, str]) -> None:
    with Path(inputs["task.intent"]).open("a") as file:
        file.write('{"text": "c", "lab\n[]\n')
    config = CONFIG.model_copy(update={"on_bad_record": "skip"})
    answer = check(Request(model=None, config=config, inputs=inputs))
    assert answer["problems"] == []
    said = "2 records cannot be read and would be skipped; the first is line 22: not JSON"
    assert answer["notes"][0].startswith(said)
