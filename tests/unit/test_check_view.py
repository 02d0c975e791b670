"""What `sftjobs check` shows of the answer of the data stage's code."""

import io
from typing import Any

from rich.console import Console

from sftjobs.cli.check_view import show_answer


def shown(**more: Any) -> str:
    tables = {"tasks": [], "labels": [], "tokens": None, **more.pop("tables", {})}
    file = io.StringIO()
    answer = {"problems": [], "rendered": [], "advice": [], "notes": [], "tables": tables, **more}
    show_answer(answer, Console(file=file, width=200, color_system=None))
    return file.getvalue()


def row(epoch: int, examples: int) -> dict[str, Any]:
    counts = {"examples": examples, "of": 10, "uses": examples / 10, "share": 1.0}
    return {"epoch": epoch, "task": "intent", **counts, "tokens": None, "supervised_tokens": None, "token_share": None}


def test_marks_and_conflicts() -> None:
    answers = [{"answer": "a", "line": 1}, {"answer": "b", "line": 1_200}]
    conflicts = {"questions": 8, "shown": [{"task": "t", "question": f"q{i}", "answers": answers} for i in range(8)]}
    text = shown(tables={"flagged": {"pii": 2, "label_noise": 1_400}, "conflicts": conflicts})
    assert "kept, but marked for a person to look at: pii 2, label_noise 1,400" in text
    assert "8 questions have several answers:\n  q0: a (line 1), b (line 1,200)" in text
    assert "q4" in text
    assert "q5" not in text


def test_equal_epochs_are_shown_once() -> None:
    lines = shown(tables={"mixture": [row(1, 10), row(2, 10), row(3, 5)]}).split("\n")
    assert [line.split()[0] for line in lines if "intent" in line] == ["1", "3"]


def test_findings_about_the_prompt_errors_first() -> None:
    def finding(severity: str, line: int) -> dict[str, Any]:
        fix = "list them"
        return {
            "id": "P1",
            "severity": severity,
            "file": "p.yaml",
            "line": line,
            "path": "input",
            "message": "bad",
            "fix": fix,
        }

    text = shown(lint=[finding("hint", 1), finding("error", 9), finding("warning", 5)])
    assert text.index("p.yaml:9:input: P1 error: bad; list them") < text.index("p.yaml:5") < text.index("p.yaml:1:")


def test_nothing_is_said_about_what_is_not_there() -> None:
    text = shown()
    for said in ("marked", "answers", "epoch", "the prompt"):
        assert said not in text
