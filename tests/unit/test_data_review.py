"""The review sheet: written, edited by a person, read back; what cannot be done is named by line."""

import csv
from pathlib import Path

import pytest

from jobs.data.problems import Problems
from jobs.data.review import Correction, ReviewRow, read_sheet, write_sheet

ID, OTHER = "a" * 64, "b" * 64


def sheet(path: Path, *rows: ReviewRow) -> Path:
    write_sheet(rows, path)
    return path


def row(id_: str = ID, **more: str) -> ReviewRow:
    return ReviewRow(id_, "t", 3, "label_noise", "margin", "多少钱？", "greeting", **more)


def test_a_sheet_survives_a_spreadsheet(tmp_path: Path) -> None:
    path = sheet(tmp_path / "review.csv", row(), row(OTHER, suggestion="=1+1"))
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["question"] == "多少钱？"
    assert rows[1]["suggestion"] == "'=1+1", "a formula would be run by whoever opens the sheet"
    rows[0] |= {"decision": "Fix", "new_answer": "'-5 °C"}
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    problems = Problems()
    assert read_sheet(path, "review.csv", problems.add) == {ID: Correction("fix", "-5 °C", "")}
    assert not problems.total, "a line without a decision means nothing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decision": "remove"}, "the decision 'remove' is not known; write keep, drop or fix, or leave it empty"),
        ({"decision": "fix"}, "fix needs the right answer in the column new_answer"),
        ({"decision": "keep", "new_answer": "x"}, "there is a new_answer, but the decision is keep"),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    problems = Problems()
    assert read_sheet(sheet(tmp_path / "r.csv", row(**changes)), "r.csv", problems.add) == {}
    assert problems.lines()[0].startswith(f"r.csv:2: {message}")


def test_two_decisions_about_one_example(tmp_path: Path) -> None:
    problems = Problems()
    path = sheet(tmp_path / "r.csv", row(decision="keep"), row(decision="drop"), row(OTHER, decision="drop"))
    assert set(read_sheet(path, "r.csv", problems.add)) == {ID, OTHER}
    assert problems.lines() == [f"r.csv:3: the id {ID[:12]}... has two different decisions"]


def test_another_file(tmp_path: Path) -> None:
    problems = Problems()
    (tmp_path / "r.csv").write_text("text,label\na,b\n")
    assert read_sheet(tmp_path / "r.csv", "r.csv", problems.add) == {}
    assert "a review sheet has at least the columns id and decision" in problems.lines()[0]


def test_a_sheet_in_the_encoding_of_another_program(tmp_path: Path) -> None:
    problems = Problems()
    text = sheet(tmp_path / "r.csv", row(decision="keep", note="对")).read_text("utf-8-sig")
    (tmp_path / "r.csv").write_bytes(text.encode("gb18030"))
    read_sheet(tmp_path / "r.csv", "r.csv", problems.add)
    assert problems.lines()[0].startswith("r.csv:2: byte 0x")
    assert problems.lines()[0].endswith("; save the sheet as CSV UTF-8")
