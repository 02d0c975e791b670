"""The data stage as a program: from files to the two sets, the ledger and the counts."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.data.__main__ import run
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.errors import DataError
from sftjobs.names import Exit
from sftjobs.plan.configs import DataConfig, DataCounts, SelectConfig, SourceConfig
from sftjobs.spec.data import ColumnMap
from sftjobs.spec.prompt import OutputSpec, PromptSpec
from tests.support.program_runner import Outcome, run_here, run_program
from tests.support.tiny import END_OF_TURN, tiny_tokenizer

PROMPT = PromptSpec(
    system="You sort messages.",
    instruction="Answer with one label:\n{{ labels }}",
    input="Message: {{ text }}",
    labels={"balance": "how much money", "greeting": "says hello"},
    output=OutputSpec(format="label"),
)


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def source(name: str, **more: Any) -> SourceConfig:
    return SourceConfig(input=name, format=more.pop("format", "jsonl"), output_column="label", **more)


def data_config(**more: Any) -> DataConfig:
    tasks = more.pop("tasks", {"intent": source("task.intent")})
    given = {"prompt": PROMPT, "max_tokens": 400, "seed": 1, "held_out": source("held_out"), **more}
    return DataConfig(tasks=tasks, **given)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    tiny_tokenizer(folder)
    return folder


TRAIN = [
    {"text": "how much do I have", "label": "balance"},
    {"text": "hello there", "label": "greeting"},
    {"text": "hello there", "label": "greeting"},
    {"text": "HOW  much is ｌｅｆｔ", "label": "balance"},
    {"text": "good morning", "label": "greeting"},
    {"text": "good morning", "label": "balance"},
    {"text": "".join(map(chr, range(0x4E00, 0x5058))), "label": "balance"},
]
CHAT = [{"text": "good morning to you", "label": "greeting"}, {"text": "nice to meet you", "label": "greeting"}]
HELD_OUT = [{"text": "how much is left", "label": "balance"}, {"text": "hi", "label": "greeting"}]


@pytest.fixture
def inputs(tmp_path: Path, model: Path) -> dict[str, Path]:
    return {
        "model": model,
        "task.intent": write_records(tmp_path / "train.jsonl", TRAIN),
        "held_out": write_records(tmp_path / "test.jsonl", HELD_OUT),
    }


def prepare(config: DataConfig, inputs: dict[str, Path], work: Path) -> Outcome:
    return run_here(run, "jobs.data", config, inputs, work)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_record_is_accounted_for(inputs: dict[str, Path], tmp_path: Path) -> None:
    outcome = prepare(data_config(), inputs, tmp_path / "work")
    counts = DataCounts.model_validate(outcome.counts)
    assert counts.records == 9
    assert counts.dropped == {"duplicate": 1, "held_out_exact": 1, "too_long": 1}
    assert counts.held_out == 2
    assert counts.tasks["intent"].examples == 4
    assert counts.labels == {"balance": 2, "greeting": 2}
    rows = pq.read_table(outcome.content / "ledger.parquet").to_pylist()
    assert [(row["line"], row["split"], row["rule"]) for row in rows] == [
        (1, "train", None),
        (2, "train", None),
        (3, "train", "duplicate"),
        (4, "train", "held_out_exact"),
        (5, "train", None),
        (6, "train", None),
        (7, "train", "too_long"),
        (1, "held_out", None),
        (2, "held_out", None),
    ]
    assert rows[2]["tokens"] is None and rows[6]["tokens"] > 400
    assert {row["source"] for row in rows[:7]} == {hashlib.sha256(inputs["task.intent"].read_bytes()).hexdigest()}


def test_each_task_has_its_own_held_out_examples(inputs: dict[str, Path], tmp_path: Path) -> None:
    """They are of that task in both sets, and guard the training examples of every task."""
    del inputs["held_out"]
    inputs["task.chat"] = write_records(
        tmp_path / "chat.jsonl", [{"text": "how much is left", "label": "greeting"}, *CHAT]
    )
    inputs["held_out.intent"] = write_records(tmp_path / "intent-held.jsonl", HELD_OUT[:1])
    inputs["held_out.chat"] = write_records(
        tmp_path / "chat-held.jsonl", [{"text": "hello there", "label": "greeting"}]
    )
    config = data_config(
        held_out=None,
        max_dropped=1.0,
        tasks={"intent": source("task.intent"), "chat": source("task.chat")},
        held_out_tasks={"intent": source("held_out.intent"), "chat": source("held_out.chat")},
    )
    outcome = prepare(config, inputs, tmp_path / "work")
    held_out = lines(outcome.content / "held_out.jsonl")
    assert sorted((one["task"], one["messages"][-1]["content"]) for one in held_out) == [
        ("chat", "greeting"),
        ("intent", "balance"),
    ]
    trained = [
        one["messages"][-2]["content"] for one in lines(outcome.content / "train.jsonl") if one["task"] == "chat"
    ]
    assert len(trained) == len(CHAT), "what is held out of another task is not trained on either"


def test_examples_hold_the_rendered_prompt_and_join_the_ledger(inputs: dict[str, Path], tmp_path: Path) -> None:
    outcome = prepare(data_config(), inputs, tmp_path / "work")
    train, held_out = lines(outcome.content / "train.jsonl"), lines(outcome.content / "held_out.jsonl")
    assert train[0]["messages"] == [
        {"role": "system", "content": "You sort messages."},
        {
            "role": "user",
            "content": "Answer with one label:\n- balance: how much money\n- greeting: says hello\n\n"
            "Message: how much do I have",
        },
        {"role": "assistant", "content": "balance"},
    ]
    assert (train[0]["label"], train[0]["task"], train[0]["source"]["line"]) == ("balance", "intent", 1)
    kept = [r["id"] for r in pq.read_table(outcome.content / "ledger.parquet").to_pylist() if r["decision"] == "kept"]
    assert kept == [example["id"] for example in [*train, *held_out]]
    renderer = Renderer(load_tokenizer(inputs["model"]))
    rendered = renderer.render([example["messages"] for example in train])
    counts = DataCounts.model_validate(outcome.counts)
    assert [example["tokens"] for example in train] == [len(one.ids) for one in rendered]
    assert counts.tasks["intent"].supervised_tokens == sum(one.supervised_tokens for one in rendered)
    assert counts.max_example_tokens == max(len(one.ids) for one in rendered)
    assert counts.longest_answer_tokens == max(len(ids) for ids in renderer.answers(list(PROMPT.labels)))
    assert PromptSpec.model_validate_json((outcome.content / "prompt.json").read_bytes()) == PROMPT
    shared = renderer.tokenizer.decode(rendered[0].ids[: counts.common_prefix_tokens])
    assert "says hello" in shared and "how much do" not in shared


def test_report_section_shows_funnel_conflicts_and_trained_spans(inputs: dict[str, Path], tmp_path: Path) -> None:
    report = prepare(data_config(), inputs, tmp_path / "work").report("data")
    assert report["funnel"][0] == {"step": "records", "examples": 9}
    assert report["funnel"][-2:] == [{"step": "train", "examples": 4}, {"step": "held_out", "examples": 2}]
    assert report["conflicts"]["questions"] == 1
    assert [a["line"] for a in report["conflicts"]["shown"][0]["answers"]] == [5, 6]
    assert sum(one["examples"] for one in report["lengths"]) == 4
    assert len(report["examples"]) == 4
    for example in report["examples"]:
        [trained] = [text for text, is_trained in example["segments"] if is_trained]
        assert trained in {label + END_OF_TURN for label in PROMPT.labels}


def test_two_runs_leave_the_same_bytes_whatever_the_order_of_tasks(inputs: dict[str, Path], tmp_path: Path) -> None:
    inputs["task.other"] = write_records(tmp_path / "other.jsonl", [{"text": "hey you", "label": "greeting"}])
    tasks = {"intent": source("task.intent"), "other": source("task.other")}
    first = prepare(data_config(tasks=tasks), inputs, tmp_path / "a")
    second = prepare(data_config(tasks=dict(reversed(tasks.items()))), inputs, tmp_path / "b")
    for name in ("train.jsonl", "held_out.jsonl", "ledger.parquet", "prompt.json"):
        assert (first.content / name).read_bytes() == (second.content / name).read_bytes(), name
        assert str(tmp_path).encode() not in (first.content / name).read_bytes()


def test_fraction_holds_out_by_question_and_stays_when_data_grows(inputs: dict[str, Path], tmp_path: Path) -> None:
    def held_out(number: int, work: str) -> tuple[set[str], set[str]]:
        records = [{"text": f"message {i}", "label": "balance"} for i in range(number)]
        records += [{"text": f"MESSAGE  {i}", "label": "greeting"} for i in range(number)]
        write_records(inputs["task.intent"], records)
        outcome = prepare(data_config(held_out=None, held_out_fraction=0.3), inputs, tmp_path / work)
        names = ("held_out.jsonl", "train.jsonl")
        asked = [
            {one["messages"][1]["content"].casefold().split()[-1] for one in lines(outcome.content / n)} for n in names
        ]
        return asked[0], asked[1]

    small, small_train = held_out(60, "small")
    large, large_train = held_out(120, "large")
    assert small < large and small_train < large_train
    assert not small & small_train and not large & large_train
    assert 0.15 < len(large) / 120 < 0.45


def test_limits_and_selection(inputs: dict[str, Path], tmp_path: Path) -> None:
    records = [{"text": f"a {i}", "label": "balance"} for i in range(30)]
    records += [{"text": f"b {i}", "label": "greeting"} for i in range(6)]
    write_records(inputs["task.intent"], records)
    keep = SelectConfig(keep=20, by="random", per_label="balanced")
    balanced = prepare(data_config(select=keep, held_out_max=1), inputs, tmp_path / "balanced")
    assert balanced.counts["labels"] == {"balance": 14, "greeting": 6}
    assert balanced.counts["dropped"] == {"held_out_max": 1, "not_selected": 16}
    few = prepare(data_config(tasks={"intent": source("task.intent", max_examples=5)}), inputs, tmp_path / "few")
    assert few.counts["dropped"] == {"max_examples": 31}


def test_general_conversations_are_taken_as_they_are(inputs: dict[str, Path], tmp_path: Path) -> None:
    turns = ["a", "b", "c", "d"]
    messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    inputs["general"] = write_records(tmp_path / "general.jsonl", [{"messages": messages}])
    outcome = prepare(data_config(general=source("general")), inputs, tmp_path / "work")
    [general] = [one for one in lines(outcome.content / "train.jsonl") if one["task"] == "general"]
    assert general["messages"] == messages and "label" not in general
    assert outcome.counts["tasks"]["general"]["examples"] == 1


def test_csv_with_byte_order_mark_and_line_breaks_in_fields(inputs: dict[str, Path], tmp_path: Path) -> None:
    inputs["task.intent"] = tmp_path / "train.csv"
    text = '\ufeffnumber,text,label\r\n7,"two\nlines, and ""quotes""",balance\r\n\r\n8,hello, greeting \r\n'
    inputs["task.intent"].write_bytes(text.encode())
    tasks = {"intent": source("task.intent", format="csv", columns=ColumnMap(id="number"))}
    outcome = prepare(data_config(tasks=tasks), inputs, tmp_path / "work")
    rows = pq.read_table(outcome.content / "ledger.parquet").to_pylist()[:2]
    assert [(row["line"], row["user_id"], row["label"]) for row in rows] == [(2, "7", "balance"), (5, "8", "greeting")]
    assert 'two\nlines, and "quotes"' in lines(outcome.content / "train.jsonl")[0]["messages"][1]["content"]


def test_nothing_left_to_train_on_names_the_rules(inputs: dict[str, Path], tmp_path: Path) -> None:
    write_records(inputs["task.intent"], [HELD_OUT[0], HELD_OUT[0], HELD_OUT[1]])
    with pytest.raises(DataError) as caught:
        prepare(data_config(), inputs, tmp_path / "work")
    assert "no training examples are left of 3: duplicate 1" in str(caught.value)
    assert "held_out_exact 2" in str(caught.value)


def test_nothing_held_out_names_the_rule(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no held-out examples"):
        prepare(data_config(held_out=None, held_out_fraction=1e-9), inputs, tmp_path / "work")


def test_program_ends_with_the_exit_code_of_bad_data(inputs: dict[str, Path], tmp_path: Path) -> None:
    inputs["task.intent"].write_text('{"text": "a", "label": "balance"}\n{"text": "b", "la')
    outcome = run_program("jobs.data", data_config(), inputs, tmp_path / "work")
    assert outcome.returncode == Exit.BAD_CONFIG
    assert f"{inputs['task.intent']}:2:" in outcome.stderr and "Traceback" not in outcome.stderr
