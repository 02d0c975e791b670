"""The answer of `python -m jobs.data.why`, for people."""

from typing import Any

from rich.console import Console

from sftjobs.cli.output import table

_SETS = {"train": "training set", "held_out": "held-out set", "dev": "dev set"}
_MOST = 1000
"""Characters of one text."""
_NAMES = {
    "label_margin": "label margin (below 0: the words speak for another label)",
    "answer_association": "association of question and answer",
}


def show_funnel(answer: dict[str, Any], run: str, out: Console) -> None:
    """Counts per rule, with ids to ask on with."""
    sets = ", ".join(f"{number:,} in the {_SETS[name]}" for name, number in answer["sets"].items()) or "nothing is kept"
    out.print(f"{answer['records']:,} records: {sets}", style="bold")
    for title, rows in (("dropped by", answer["dropped"]), ("kept and marked by", answer["marked"])):
        if rows:
            shown = table(title, "records", "meaning", "ask with", right=("records",))
            for row in rows:
                ids = "  ".join(one["id"][:12] if one["id"] else f"line {one['line']}" for one in row["first"])
                shown.add_row(row["rule"], f"{row['records']:,}", row["meaning"], ids)
            out.print()
            out.print(shown)
    if not answer["dropped"]:
        out.print("no rule dropped a record")
    _show_not_recorded(answer, out)
    out.print(f"\n`sftjobs why {run} ID` shows the path of one record; ID may be FILE:LINE too", soft_wrap=True)


def show_story(answer: dict[str, Any], out: Console) -> None:
    """The path of one record."""
    fate = f"kept in the {_SETS[answer['split']]}" if answer["decision"] == "kept" else f"dropped by {answer['rule']}"
    out.print(f"{answer['place']}, task {answer['task']}: {fate}", style="bold", soft_wrap=True)
    _show_facts(answer, out)
    _show_outcome(answer, out)
    if answer["related"] is not None:
        _show_related(answer["related"], out)
    _show_same(answer, out)
    _show_path(answer, out)
    _show_not_recorded(answer, out)


def _show_facts(answer: dict[str, Any], out: Console) -> None:
    facts = [("id", answer["id"]), ("your id", answer["user_id"]), ("source", answer["source"])]
    if answer["decision"] == "kept":
        facts.append(("in", answer["file"]))
    if answer.get("epochs"):
        facts.append(("trained", _epochs(answer["epochs"])))
    facts += [(name.replace("_", " "), value) for name, value in answer["measured"].items()]
    facts += [(_NAMES.get(name, name), value) for name, value in answer["scores"].items()]
    facts += [(name, "yes") for name in ("boundary", "repaired") if answer[name]]
    shown = table("", "")
    shown.show_header = False
    for name, value in facts:
        if value is not None and value != 0:
            shown.add_row(
                name,
                f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value),
            )
    out.print(shown)
    _show_text(answer["text"], out)


def _epochs(epochs: list[dict[str, int]]) -> str:
    """`epoch 1: once, epoch 2: 2 times`."""
    times = {0: "not", 1: "once"}
    return ", ".join(f"epoch {one['epoch']}: {times.get(one['uses'], str(one['uses']) + ' times')}" for one in epochs)


def _show_text(text: dict[str, Any] | None, out: Console) -> None:
    if text is None:
        out.print("  text: neither in the artifact nor in a source within reach", style="dim")
    elif "messages" in text:
        for message in text["messages"]:
            out.print(f"  {message['role']}: {_cut(message['content'])}", soft_wrap=True)
    else:
        for column, value in text["record"].items():
            out.print(f"  {column}: {_cut(str(value))}", soft_wrap=True)


def _cut(text: str) -> str:
    """The end of a long text: what differs stands behind the instruction. Its lines are set in."""
    text = text if len(text) <= _MOST else f"... {text[-_MOST:]}"
    return text.replace("\n", "\n    ")


def _show_outcome(answer: dict[str, Any], out: Console) -> None:
    if answer["rule"] is not None:
        out.print(f"\ndropped by {answer['rule']}: {answer['meaning']}", style="red", soft_wrap=True)
    for flag in answer["flags"]:
        out.print(f"\nmarked by {flag['rule']}: {flag['meaning']}", style="yellow", soft_wrap=True)
    if answer["reason"] is not None and answer["reason"] != answer["meaning"]:
        out.print(f"  reason: {answer['reason']}", soft_wrap=True)
    if answer["way_out"] is not None:
        out.print(f"  way out: {answer['way_out']}", soft_wrap=True)


def _show_related(related: dict[str, Any], out: Console) -> None:
    fate = "kept" if related["decision"] == "kept" else f"dropped by {related['rule']}"
    head = f"\ncompared with {related['place']} ({related['id'][:12]}), {_SETS[related['split']]}, {fate}:"
    out.print(head, style="bold", soft_wrap=True)
    _show_text(related["text"], out)


def _show_same(answer: dict[str, Any], out: Console) -> None:
    if not answer["same"]:
        return
    places = [f"{one['place']} ({one['rule'] or one['decision']})" for one in answer["same"]]
    more = f" and {answer['more_same']:,} more" if answer["more_same"] else ""
    out.print(f"\nthe same example again: {', '.join(places)}{more}", soft_wrap=True)


def _show_path(answer: dict[str, Any], out: Console) -> None:
    """The rules in their order, one line for each outcome that needs one."""
    if answer["rules"] is None:
        out.print("\nwhich rules looked at it is not known: the run was planned by another version", soft_wrap=True)
        return
    looked = [step for step in answer["rules"] if step["outcome"] in ("passed", "marked", "dropped")]
    marks = {"passed": "{}", "marked": "{} (marked)", "dropped": "{} (dropped)"}
    path = ", ".join(marks[step["outcome"]].format(step["rule"]) for step in looked)
    out.print(f"\nlooked at, in this order: {path}", soft_wrap=True)
    for outcome in ("not reached", "not for this set", "off"):
        names = [step["rule"] for step in answer["rules"] if step["outcome"] == outcome]
        if names:
            out.print(f"{outcome}: {', '.join(names)}", style="dim", soft_wrap=True)


def _show_not_recorded(answer: dict[str, Any], out: Console) -> None:
    if answer["not_recorded"]:
        names = ", ".join(answer["not_recorded"])
        out.print(f"not recorded by the version that made this ledger: {names}", style="dim", soft_wrap=True)
