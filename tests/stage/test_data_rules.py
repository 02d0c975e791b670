"""The data stage as a program, with the settings that are not the defaults: what each leaves in files and ledger."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.errors import DataError
from sftjobs.plan.configs import DataCounts
from sftjobs.plan.types import Resources
from sftjobs.spec.clean import CleanSpec
from sftjobs.spec.data import ColumnMap, DecontaminateSpec, DenoiseSpec
from sftjobs.spec.prompt import StyleSpec
from tests.support.data_world import FREE, LABELS, THINGS, World, dropped, label_records, ledger, lines, source
from tests.support.program_runner import run_program


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.give("task.t", label_records())
    return made


def test_bad_records_are_skipped_up_to_a_limit_and_stand_in_the_ledger(world: World) -> None:
    good = (world.folder / "task.t.jsonl").read_bytes()
    bad = b'{"text": "cut\n' + b'{"txt": "x", "label": "buy"}\n' + b'\xff{"text": 1}\n' + b"[1]\n"
    world.give("task.t", good + bad)
    with pytest.raises(DataError, match="4 problems in the data"):
        world.run()
    outcome = world.run(on_bad_record="skip")
    assert dropped(outcome)["bad_record"] == 4 and outcome.counts["bad_records"] == 4
    rows = [row for row in ledger(outcome) if row["rule"] == "bad_record"]
    assert [row["line"] for row in rows] == [73, 74, 75, 76]
    assert [row["id"] for row in rows] == [None] * 4 and "not JSON" in rows[0]["reason"]
    assert len(ledger(outcome)) == 76
    with pytest.raises(DataError, match=r"task\.t\.jsonl:76:1: .*\nMore than data\.max_bad_records \(3\)"):
        world.run(on_bad_record="skip", max_bad_records=3)


def test_two_records_with_one_id(world: World) -> None:
    records = label_records()
    records[7]["id"] = records[3]["id"]
    world.give("task.t", records)
    tasks = {"t": source(columns=ColumnMap(id="id"))}
    with pytest.raises(DataError, match=r":8: id 'buy-0-my winter coat' is that of line 4 too; make the ids unique"):
        world.run(tasks=tasks)
    assert dropped(world.run(tasks=tasks, on_bad_record="skip"))["same_id"] == 1


def test_labels_that_differ_in_case_or_width(world: World) -> None:
    records = label_records()
    records[0]["label"], records[40]["label"] = "ＢＵＹ", " Sell "
    world.give("task.t", records)
    with pytest.raises(DataError, match=r"differs from 'buy' only in case or width .* data\.clean\.label: fix"):
        world.run()
    counts = DataCounts.model_validate(world.run(clean=CleanSpec(label="fix")).counts)
    assert counts.records == 72 and "label" not in counts.dropped
    records[5]["label"] = "neither"
    world.give("task.t", records)
    assert dropped(world.run(clean=CleanSpec(label="drop")))["label"] == 3


def test_a_dev_set_apart_from_both_others(world: World) -> None:
    outcome = world.run(dev_fraction=0.2)
    sets = [{one["messages"][-2]["content"] for one in lines(outcome.content / f"{name}.jsonl")}
            for name in ("train", "held_out", "dev")]  # fmt: skip
    assert all(sets) and not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]
    assert outcome.counts["dev"] == len(sets[2])


def test_named_texts_passages_and_waivers(world: World) -> None:
    long = "could you please tell me in detail how the return of a damaged item works when the shop is closed"
    around = "and by the way here is the whole list of what was bought:"
    records = [*label_records(), {"text": f"Hello! {long}, {around} {' '.join(THINGS)}", "label": "buy"}]
    world.give("task.t", records)
    world.give("against.0", [{"question": long + " on a public holiday", "answer": "no"}], "bench.jsonl")
    given = DecontaminateSpec(against=["against.0"])
    outcome = world.run(decontaminate=given)
    [row] = [row for row in ledger(outcome) if row["rule"] == "held_out_ngram"]
    assert row["line"] == 73 and "bench.jsonl:1 the passage 'could you please tell me in detail" in row["reason"]
    with pytest.raises(DataError, match="1 training examples overlap what is held out"):
        world.run(decontaminate=given.model_copy(update={"action": "stop"}))
    world.give("waive", f"# harmless\n{row['id']}  a greeting\n".encode(), "waive.txt")
    waived = given.model_copy(update={"waive": "waive"})
    assert "held_out_ngram" not in dropped(world.run(decontaminate=waived))
    world.give("waive", b"not-an-id\n", "waive.txt")
    with pytest.raises(DataError, match=r"waive\.txt:1: 'not-an-id' is no id of an example"):
        world.run(decontaminate=waived)


def test_label_noise_is_marked_reviewed_and_corrected(world: World) -> None:
    records = label_records()
    records[2]["label"] = "sell"  # "I would like to buy two garden chairs this week"
    world.give("task.t", records)
    held_out = [{"text": "buy", "label": "buy"}, {"text": "sell", "label": "sell"}]
    world.give("held_out", held_out)
    kwargs: dict[str, Any] = {"held_out": source("held_out"), "denoise": DenoiseSpec(share=0.02)}
    outcome = world.run(**kwargs)
    with (outcome.content / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    noise = [row for row in rows if "label_noise" in row["rule"]]
    assert [row["line"] for row in noise][:1] == ["3"] and noise[0]["suggestion"] == "buy"
    assert all(
        row["margin"] is None or row["margin"] < 1 for row in [{"margin": r["label_margin"]} for r in ledger(outcome)]
    )
    decided = [
        {**noise[0], "decision": "fix", "new_answer": "buy"},
        {**noise[0], "id": ledger(outcome)[0]["id"], "decision": "drop"},
    ]
    with (world.folder / "sheet.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(noise[0]))
        writer.writeheader()
        writer.writerows(decided)
    world.inputs["corrections"] = world.folder / "sheet.csv"
    again = world.run(work="again", corrections=True, **kwargs)
    rows = ledger(again)
    assert rows[2]["label"] == "buy" and rows[2]["repaired"]
    assert (rows[0]["decision"], rows[0]["rule"]) == ("dropped", "review")


def test_personal_data_is_masked_dropped_or_marked(world: World) -> None:
    records = [
        {"text": f"call me at 1391234567{i} about {thing}", "label": "buy"} for i, thing in enumerate(THINGS[:9])
    ]
    world.give("task.t", [*label_records(), *records])
    outcome = world.run(clean=CleanSpec(pii="mask"))
    texts = [one["messages"][-2]["content"] for one in lines(outcome.content / "train.jsonl")]
    assert not any("139123" in text for text in texts) and sum("call me at [" in text for text in texts) > 4
    assert dropped(world.run(clean=CleanSpec(pii="drop")))["pii"] == 9
    marked = [row for row in ledger(world.run()) if "pii" in row["flags"]]
    assert len(marked) == 9 and all(row["reason"] == "1 phone" for row in marked)


def test_text_is_mended_and_nothing_is_lost_of_emoji_and_other_scripts(world: World) -> None:
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    odd = {"text": f"\ufeffcafÃ© zero\u200bwidth {family} مرحبا \x07bell \ud83d", "label": "buy"}
    world.give("task.t", [*label_records(), odd])
    outcome = world.run(held_out_fraction=0.1)
    [text] = [one["messages"][-2]["content"] for one in lines(outcome.content / "train.jsonl")
              if "bell" in one["messages"][-2]["content"]]  # fmt: skip
    assert text.startswith("Message: café zerowidth \U0001f469\u200d\U0001f469\u200d\U0001f467 مرحبا bell")
    with pytest.raises(DataError, match=r"half of a surrogate pair, '.*', is no character"):
        world.run(clean=CleanSpec(unicode="off"))


def chat(asked: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


def test_long_conversations_lose_their_oldest_turns(world: World) -> None:
    asked = [f"question {i} " + " ".join(THINGS[i : i + 5]) for i in range(8)]
    turns = [text for i in range(8) for text in (asked[i], f"answer number {i}.")]
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    short = [chat(f"hello {i} there", f"hi, {i}.") for i in range(40)]
    world.give("task.t", [{"messages": messages}, *short])
    assert dropped(world.run(FREE)) == {"too_long": 1}
    with pytest.raises(DataError, match=r"1 examples have more than 300 tokens .* lines 1\. Raise data.max_tokens"):
        world.run(FREE, overlength="stop")
    outcome = world.run(FREE, overlength="truncate", held_out_fraction=0.05)
    row = ledger(outcome)[0]
    assert row["decision"] == "kept" and 0 < row["removed_turns"] < 7 and row["tokens"] <= 300
    [kept] = [one for one in lines(outcome.content / "train.jsonl") if one["id"] == row["id"]]
    assert kept["messages"] == messages[2 * row["removed_turns"] :]
    renderer = Renderer(load_tokenizer(world.inputs["model"]))
    longer = messages[2 * row["removed_turns"] - 2 :]
    assert len(renderer.render([kept["messages"]])[0].ids) == row["tokens"]
    assert len(renderer.render([longer])[0].ids) > 300, "not a turn more than needed"


def test_an_answer_that_is_not_trained(world: World) -> None:
    def messages(first: bool, last: bool) -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": "one"}, {"role": "assistant", "content": "two", "train": first},
            {"role": "user", "content": "three"}, {"role": "assistant", "content": "four", "train": last},
        ]  # fmt: skip

    more = [
        {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": "fine."}]}
        for i in range(40)
    ]
    world.give("task.t", [{"messages": messages(False, True)}, {"messages": messages(False, False)}, *more])
    rows = ledger(world.run(FREE, held_out_fraction=0.05))
    assert rows[0]["supervised_tokens"] < 8 and rows[1]["rule"] in ("nothing_to_learn", "near_duplicate")


def test_declared_style_is_checked(world: World) -> None:
    style = FREE.model_copy(update={"style": StyleSpec(max_characters=10, language="zh")})
    records = [
        {"text": f"第{i}个问题怎么办？", "output": "请稍等。" if i % 4 else "Please wait for a minute."}
        for i in range(40)
    ]
    world.give("task.t", records)
    outcome = world.run(style, tasks={"t": source(output_column="output")})
    marked = [row for row in ledger(outcome) if "style" in row["flags"]]
    assert marked and all("more than style.max_characters 10" in row["reason"] for row in marked)


@pytest.mark.parametrize("kind", ["gz", "zst", "json", "csv", "parquet", "saved", "alpaca", "sharegpt", "prompt"])
def test_any_format_and_shape_gives_the_same_examples(kind: str, world: World) -> None:
    records = [{"text": record["text"], "label": record["label"]} for record in label_records()]
    world.give("held_out", [{"text": "buy", "label": "buy"}, {"text": "sell", "label": "sell"}])
    held_out = source("held_out")
    expected = lines(world.run(work="plain", held_out=held_out).content / "train.jsonl")
    plain = (world.folder / "task.t.jsonl").read_bytes()
    given: dict[str, Any] = {}
    if kind == "gz":
        world.give("task.t", gzip.compress(plain), "t.jsonl.gz")
    elif kind == "zst":
        world.give("task.t", zstandard.compress(plain), "t.jsonl.zst")
    elif kind == "json":
        world.give("task.t", json.dumps({"version": 1, "data": records}, indent=1).encode(), "t.json")
    elif kind == "csv":
        text = "text,label\n" + "".join(f'"{one["text"]}",{one["label"]}\n' for one in records)
        world.give("task.t", text.encode(), "t.csv")
    elif kind == "parquet":
        table = pa.table(
            {"data": [{"question": one["text"]} for one in records], "label": [one["label"] for one in records]}
        )
        pq.write_table(table, world.folder / "t.parquet", row_group_size=7)
        world.inputs["task.t"] = world.folder / "t.parquet"
        given["columns"] = ColumnMap(inputs={"text": "data.question"})
    elif kind == "saved":
        save_to_disk(world.folder / "saved", records)
        world.inputs["task.t"] = world.folder / "saved"
    else:
        world.give("task.t", [shaped(kind, one) for one in records], "s.jsonl")
    outcome = world.run(work=kind, tasks={"t": source(**given)}, held_out=held_out)
    found = lines(outcome.content / "train.jsonl")

    def texts(examples: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(one["messages"][0]["content"], one["label"]) for one in examples]

    assert texts(found) == texts(expected)


def shaped(kind: str, record: dict[str, Any]) -> dict[str, Any]:
    asked, answer = f"Message: {record['text']}", record["label"]
    if kind == "alpaca":
        return {"instruction": asked, "input": "", "output": answer}
    if kind == "sharegpt":
        return {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]}
    return {"prompt": asked, "completion": answer}


def save_to_disk(folder: Path, records: list[dict[str, Any]]) -> None:
    """As `datasets.DatasetDict.save_to_disk` does."""
    (folder / "train").mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    half = len(records) // 2
    names = []
    for number, part in enumerate((records[:half], records[half:])):
        names.append({"filename": f"data-{number:05d}-of-00002.arrow"})
        table = pa.Table.from_pylist(part)
        with pa.ipc.new_stream(folder / "train" / names[-1]["filename"], table.schema) as writer:
            writer.write_table(table, max_chunksize=10)
    (folder / "train" / "state.json").write_text(json.dumps({"_data_files": names}))


def test_more_processes_leave_the_same_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large inputs are read and measured in several processes; what is large is lowered in the program here."""
    code = "import jobs.data.gather as g, jobs.data.measure as m\ng._MANY_BYTES = m._MANY = 10\n"
    (world.folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{world.folder}:{Path.cwd()}")
    outcomes = []
    for processes in (1, 3):
        resources = Resources(threads_per_process=processes)
        done = run_program(
            "jobs.data", world.config(LABELS), world.inputs, world.folder / f"p{processes}", resources=resources
        )
        assert done.returncode == 0, done.stderr
        outcomes.append({path.name: path.read_bytes() for path in done.content.iterdir()})
    assert outcomes[0] == outcomes[1]
