"""The data stage at its edges: what leaks, gets lost or stops where it should not."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.data.check import Request, check
from sftjobs.errors import DataError
from sftjobs.spec.clean import CleanSpec
from sftjobs.spec.data import ColumnMap, DecontaminateSpec, DuplicatesSpec
from tests.support.data_world import FREE, THINGS, World, dropped, label_records, ledger, source

LONG = "could you please tell me in detail how the return of a damaged item works when the shop is closed today"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.give("task.t", label_records())
    return made


def chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]}


def rules(world: World, prompt: Any = None, **more: Any) -> list[str | None]:
    outcome = world.run(**({"prompt": prompt} if prompt else {}), **more)
    return [row["rule"] for row in ledger(outcome) if row["split"] == "train"]


def test_personal_data_of_two_kinds_in_one_record(world: World) -> None:
    world.give("task.t", [*label_records(), {"text": "mail jane.miller@gmail.com or 13812345678", "label": "buy"}])
    card = world.run().report("data")
    assert {row["kind"]: row["finds"] for row in card["pii"]} == {"email": 1, "phone": 1}


def test_copies_and_dropped_records_do_not_change_what_is_trained(world: World) -> None:
    pairs = [f"{a} and {b}" for a in THINGS for b in THINGS[:5]]
    words = (("first", "buy"), ("second", "sell"))
    records = [{"text": f"{text} {word}", "label": label} for text in pairs for word, label in words]
    world.give("task.t", records)
    once = world.run(held_out_fraction=0.3)
    world.give("task.t", records + records)
    twice = world.run(work="twice", held_out_fraction=0.3)
    assert once.counts["tasks"]["t"]["examples"] == twice.counts["tasks"]["t"]["examples"]
    assert dropped(twice).get("held_out_exact", 0) == dropped(once).get("held_out_exact", 0)


@pytest.mark.parametrize("kind", ["list", "quote"])
def test_a_file_whose_records_are_missing_is_never_skipped(kind: str, world: World) -> None:
    records = [{"text": one["text"], "label": one["label"]} for one in label_records()]
    if kind == "list":
        text = json.dumps(records)
        world.give("task.t", text[: len(text) // 2].encode(), "t.json")
    else:
        rows = [f"{one['text']},{one['label']}\n" for one in records]
        rows[40] = '"' + rows[40]
        world.give("task.t", ("text,label\n" + "".join(rows)).encode(), "t.csv")
    with pytest.raises(DataError, match="problem"):
        world.run(on_bad_record="skip")


@pytest.mark.parametrize(("content", "name"), [(b"", "e.jsonl"), (b"[]", "e.json"), (b"text,label\n", "e.csv")])
def test_check_of_a_source_without_records(content: bytes, name: str, world: World) -> None:
    world.give("task.t", content, name)
    inputs = {name: str(path) for name, path in world.inputs.items() if name != "model"}
    answer = check(Request(model=None, config=world.config(FREE), inputs=inputs))
    assert answer["problems"][0]["kind"] == "file"


def test_a_column_of_conversations_that_is_mostly_empty(world: World) -> None:
    records = [{"text": one["text"], "label": one["label"], "messages": None} for one in label_records()]
    records[0] = {"text": None, "label": None, **chat("Message: I buy it", "buy")}
    pq.write_table(pa.Table.from_pylist(records), world.folder / "m.parquet")
    world.inputs["task.t"] = world.folder / "m.parquet"
    assert len(ledger(world.run())) == 72


def test_corrections_of_general_data_and_of_what_is_masked(world: World) -> None:
    world.give(
        "general",
        [
            chat("What colour is the sea?", "As an AI language model, I cannot see."),
            chat("And the sky over it?", "Blue."),
        ],
    )
    given = {"general": source("general"), "clean": CleanSpec(pii="mask")}
    row = next(row for row in ledger(world.run(**given)) if row["task"] == "general" and row["flags"])
    with (world.folder / "sheet.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "decision", "new_answer"])
        writer.writerow([row["id"], "fix", "The sea is wide, call 13812345678."])
    world.inputs["corrections"] = world.folder / "sheet.csv"
    outcome = world.run(work="again", corrections=True, **given)
    text = (outcome.content / "train.jsonl").read_text()
    assert "The sea is wide, call [" in text and "13812345678" not in text


def test_half_a_surrogate_pair_in_an_id(world: World) -> None:
    world.give("task.t", [*label_records(), {"text": "buy one", "label": "buy", "id": "a\ud800"}])
    with pytest.raises(DataError, match="half of a surrogate pair"):
        world.run(tasks={"t": source(columns=ColumnMap(id="id"))})


def test_named_texts_short_ones_every_split_and_other_encodings(world: World) -> None:
    folder = world.folder / "bench"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"q": "something else entirely here"}\n')
    (folder / "test.jsonl").write_text('{"q": "怎样把表格导出成电子表格文件"}\n', encoding="utf-8")
    world.inputs["against.0"] = folder
    world.give("task.t", [*label_records(), {"text": "怎样把表格导出成电子表格文件", "label": "buy"}])
    given = DecontaminateSpec(against=["against.0"])
    assert dropped(world.run(held_out_fraction=0.05, decontaminate=given))["held_out_exact"] == 1
    world.give("against.0", "怎样把表格导出成电子表格文件\n".encode("gb18030"), "b.txt")
    with pytest.raises(DataError, match=r"b\.txt:1: byte 0x.. is not UTF-8; save the file as UTF-8"):
        world.run(work="again", decontaminate=given)


def test_a_turn_that_asks_what_is_held_out(world: World) -> None:
    world.give("held_out", [chat("How do I pay here?", "By card."), chat("Where is the door?", "There.")])
    world.give("task.t", [
        chat("Tell me about the shop first.", "It is small.", "How do I pay here?", "By card."),
        chat("Is it open?", "Yes.", "How do I pay here?", "By card.", "Thanks", "Welcome."),
        chat("Is it open today?", "Yes, it is."),
    ])  # fmt: skip
    assert rules(world, FREE, held_out=source("held_out"), max_dropped=1.0) == [
        "held_out_exact",
        "held_out_exact",
        None,
    ]


def test_what_is_left_of_a_long_conversation_may_be_held_out(world: World) -> None:
    world.give("held_out", [chat("pay?", "By card."), chat("Where is the door?", "There.")])
    first = " ".join(str(i * i * 7919) for i in range(7, 70))
    world.give("task.t", [chat(first, "Well.", "pay?", "By card."), chat("Is it open today?", "Yes, it is.")])
    found = rules(world, FREE, held_out=source("held_out"), overlength="truncate", max_dropped=1.0)
    assert found == ["held_out_exact", None]


def test_copies_of_a_held_out_question_are_no_template(world: World) -> None:
    world.give("held_out", [{"text": LONG, "label": "buy"}] * 12 + [{"text": "where is it", "label": "sell"}])
    quoting = {"text": f"somebody asked me this morning {LONG} and then {' '.join(THINGS[:6])}", "label": "buy"}
    world.give("task.t", [*label_records(), quoting])
    assert rules(world, held_out=source("held_out"), max_dropped=1.0)[-1] == "held_out_ngram"


def test_passages_of_the_dev_set_are_not_trained(world: World) -> None:
    asked = [f"{LONG} number {i} of {thing}" for i, thing in enumerate(THINGS)]
    quoting = [f"my friend wrote: {' '.join(THINGS[i : i + 4])} and also {text}" for i, text in enumerate(asked)]
    records = [{"text": text, "label": "buy"} for text in asked + quoting]
    world.give("task.t", [*label_records(), *records])
    outcome = world.run(dev_fraction=0.4, max_dropped=1.0, duplicates=DuplicatesSpec(threshold=1.0))
    rows = ledger(outcome)
    texts = {row["line"]: row for row in rows}
    for i in range(len(THINGS)):
        if texts[73 + i]["split"] == "dev" and texts[73 + len(THINGS) + i]["split"] == "train":
            assert texts[73 + len(THINGS) + i]["rule"] == "held_out_ngram"


def test_rules_that_look_at_all_answers_can_stop(world: World) -> None:
    ending = "please feel free to contact our friendly team at any time if you need more help"
    records = [{"text": f"what about {a} or {b}?", "output": f"{b} beats {a}, {i}. {ending}."}
               for i, (a, b) in enumerate((a, b) for a in THINGS for b in THINGS)]  # fmt: skip
    world.give("task.t", records)
    tasks = {"t": source(output_column="output")}
    marked = [row for row in ledger(world.run(FREE, tasks=tasks)) if "repeated_phrase" in row["flags"]]
    assert len(marked) > 50
    with pytest.raises(DataError, match=r"examples \(data\.clean\.repeated_phrase is stop\)"):
        world.run(FREE, tasks=tasks, clean=CleanSpec(repeated_phrase="stop"))
