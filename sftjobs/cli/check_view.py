"""The answer of `python -m jobs.data.check`, for people."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from sftjobs.cli.output import table
from sftjobs.spec.words import shortened

_CONFLICTS = 5
"""Questions with several answers that are shown."""
_EXCERPT = 60  # characters


def show_answer(answer: dict[str, Any], out: Console) -> None:
    """Tables, then examples and advice; if there are problems, only these come after the tables."""
    tables = answer["tables"]
    if tables:
        _show_tasks(tables["tasks"], out)
        _show_labels(tables["labels"], out)
        _show_tokens(tables["tokens"], out)
        _show_flagged(tables.get("flagged") or {}, out)
        _show_conflicts(tables.get("conflicts"), out)
        _show_mixture(tables.get("mixture") or [], out)
    if answer["problems"]:
        _show_problems(answer["problems"], answer.get("more_problems", 0), out)
        return
    for example in answer["rendered"]:
        _show_example(example, out)
    if answer["advice"] or answer["notes"]:
        out.print()
    for advice in answer["advice"]:
        out.print(f"advice: {advice['text']} ({advice['reason']})", soft_wrap=True)
    for note in answer["notes"]:
        out.print(f"note: {note}", soft_wrap=True)
    _show_lint(answer.get("lint") or [], out)


def _show_lint(found: list[dict[str, Any]], out: Console) -> None:
    """What could be better in the prompt file; an error first."""
    if not found:
        return
    out.print("\nthe prompt:", style="bold")
    styles = {"error": "red", "warning": "yellow"}
    order = list(styles)
    for one in sorted(found, key=lambda one: order.index(one["severity"]) if one["severity"] in styles else len(order)):
        out.print(f"  {_lint_line(one)}", style=styles.get(one["severity"], ""), soft_wrap=True)


def _lint_line(one: dict[str, Any]) -> str:
    """`place: id severity: message; way out`."""
    parts = [_from_here(one["file"]) if one.get("file") else "", str(one.get("line") or ""), one.get("path") or ""]
    place = ":".join(filter(None, parts))
    said = f"{one['id']} {one['severity']}: {one['message']}" + (f"; {one['fix']}" if one.get("fix") else "")
    return f"{place}: {said}" if place else said


def _show_flagged(flagged: dict[str, int], out: Console) -> None:
    if flagged:
        counts = ", ".join(f"{rule} {number:,}" for rule, number in flagged.items())
        out.print(f"\nkept, but marked for a person to look at: {counts}", soft_wrap=True)


def _show_conflicts(conflicts: dict[str, Any] | None, out: Console) -> None:
    """The first questions that have several answers."""
    if conflicts is None or not conflicts["questions"]:
        return
    out.print(f"\n{conflicts['questions']:,} questions have several answers:")
    for one in conflicts["shown"][:_CONFLICTS]:
        answers = [f"{shortened(answer['answer'], _EXCERPT)} (line {answer['line']:,})" for answer in one["answers"]]
        out.print(f"  {shortened(one['question'], _EXCERPT)}: {', '.join(answers)}", soft_wrap=True)


def _show_mixture(rows: list[dict[str, Any]], out: Console) -> None:
    """What the epochs would hold; equal ones are shown once."""
    if not rows:
        return
    from sftjobs.plan.mixture import mixture_lines

    head, *lines = mixture_lines(_without_repeats(rows))
    shown = table(*head, right=tuple(name for name in head if name != "task"))
    for line in lines:
        shown.add_row(*line)
    out.print()
    out.print(shown)


def _without_repeats(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of each epoch that differs from the one before it."""
    found: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    for epoch in sorted({row["epoch"] for row in rows}):
        of_epoch = [row for row in rows if row["epoch"] == epoch]
        plain = [{name: value for name, value in row.items() if name != "epoch"} for row in of_epoch]
        if plain != before:
            found += of_epoch
        before = plain
    return found


def _show_problems(problems: list[dict[str, Any]], more: int, out: Console) -> None:
    count = len(problems) + more
    out.print(f"\n{count:,} problem{'s' if count != 1 else ''} in the data:", style="bold red")
    for problem in problems:
        places = (_from_here(problem["file"]), problem["line"], problem["column"])
        place = ":".join(str(part) for part in places if part is not None)
        out.print(f"  {place}: {problem['message']}", style="red", soft_wrap=True)
    if more:
        out.print(f"  and {more:,} more")


def _from_here(file: str) -> str:
    """A path below the current folder as a person there would write it."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


def _show_tasks(tasks: list[dict[str, Any]], out: Console) -> None:
    shown = table("task", "side", "records", "kept", "dropped", right=("records", "kept"))
    for task in tasks:
        dropped = ", ".join(f"{rule} {count:,}" for rule, count in task["dropped"].items())
        shown.add_row(task["task"], task["side"], f"{task['records']:,}", f"{task['kept']:,}", dropped)
    out.print()
    out.print(shown)


def _show_labels(labels: list[dict[str, Any]], out: Console) -> None:
    if not labels:
        return
    shown = table("label", "train", "held out", right=("train", "held out"))
    for label in labels:
        shown.add_row(label["label"], f"{label['train']:,}", f"{label['held_out']:,}")
    out.print()
    out.print(shown)


def _show_tokens(tokens: dict[str, Any] | None, out: Console) -> None:
    if tokens is None:
        return
    out.print()
    out.print(
        f"tokens per example: 5 % {tokens['p5']}, half {tokens['p50']}, 95 % {tokens['p95']}, longest {tokens['max']}; "
        f"{tokens['too_long']} longer than {tokens['max_tokens']} are dropped; "
        f"{tokens['supervised_mean']} trained on average; all share the first {tokens['common_prefix_tokens']}",
        soft_wrap=True,
    )


def _show_example(example: dict[str, Any], out: Console) -> None:
    """Trained tokens in reverse on a terminal, in ⟦ ⟧ elsewhere."""
    out.print(f"\nexample of task {example['task']}, line {example['line']} (what is trained is marked):", style="bold")
    text = Text()
    for segment, trained in example["segments"]:
        if not trained:
            text.append(segment, style="dim")
        elif out.is_terminal:
            text.append(segment, style="bold reverse green")
        else:
            text.append(f"⟦{segment}⟧")
    text.rstrip()
    out.print(text, soft_wrap=True)
