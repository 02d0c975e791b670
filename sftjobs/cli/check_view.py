"""The answer of `python -m jobs.data.check`, for people."""

from typing import Any

from rich.console import Console
from rich.text import Text

from sftjobs.cli.output import table


def show_answer(answer: dict[str, Any], out: Console) -> None:
    """Problems first; then tables, examples and advice."""
    for problem in answer["problems"]:
        place = ":".join(str(problem[part]) for part in ("file", "line", "column") if problem[part] is not None)
        out.print(f"  {place}: {problem['message']}", style="red", soft_wrap=True)
    more = answer.get("more_problems", 0)
    if more:
        out.print(f"  and {more:,} more")
    if answer["problems"]:
        out.print(f"{len(answer['problems']) + more:,} problems in the data", style="bold red")
    tables = answer["tables"]
    if tables:
        _show_tasks(tables["tasks"], out)
        _show_labels(tables["labels"], out)
        _show_tokens(tables["tokens"], out)
    for example in answer["rendered"]:
        _show_example(example, out)
    for advice in answer["advice"]:
        out.print(f"advice: {advice['text']} ({advice['reason']})", soft_wrap=True)
    for note in answer["notes"]:
        out.print(f"note: {note}", soft_wrap=True)


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
    out.print(text, soft_wrap=True)
    out.print()
