"""The answer of `python -m jobs.data.check`, for people."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from sftjobs.cli.output import table


def show_answer(answer: dict[str, Any], out: Console) -> None:
    """Tables, then examples and advice; if there are problems, only these come after the tables."""
    tables = answer["tables"]
    if tables:
        _show_tasks(tables["tasks"], out)
        _show_labels(tables["labels"], out)
        _show_tokens(tables["tokens"], out)
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
