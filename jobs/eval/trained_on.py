"""Was the model that is evaluated trained on what is held out here? Then its score would say nothing.

A question was trained on if a training conversation, or the start of one up to an answer, asks the same without case,
width and spacing. The system message does not count. Of single questions what varies within their task is compared as
well, so another wording of the instruction hides nothing.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.eval.examples import Example, lines
from jobs.eval.varying import Varying, last_question
from sftjobs.errors import DataError
from sftjobs.program import Program

SHORT, SHORT_LATIN = 6, 12
"""Characters that a varying part must have to be recognised alone: `yes please` is asked by everyone."""
_EVERY = 10_000
_NAMED = 5


def refuse_trained(program: Program, examples: Sequence[Example]) -> None:
    """Raises DataError if held-out examples are among those of the input `trained_on`; does nothing without it."""
    if "trained_on" not in program.plan.inputs:
        return
    path = program.input("trained_on") / "train.jsonl"
    trained = trained_questions(path, examples, program)
    if not trained:
        return
    named = ", ".join(f"{ours} (there {theirs})" for ours, theirs in list(trained.items())[:_NAMED])
    more = len(trained) - _NAMED
    raise DataError(
        f"{len(trained):,} of {len(examples):,} held-out examples were trained on by the model that is evaluated, so "
        f"its answers say nothing: {named}{f' and {more:,} more' if more > 0 else ''}. Hold out examples that the "
        "earlier run did not train on (data.held_out), or leave eval.compare_to away"
    )


def trained_questions(path: Path, examples: Sequence[Example], program: Program | None = None) -> dict[str, str]:
    """Id of a held-out example -> id of a training example that asks the same; only those that were trained on.

    The training file is read twice and never held. Raises DataError if it cannot be read.
    """
    held_out = [example.fields for example in examples]
    ours, theirs = Varying(), Varying()
    for fields in held_out:
        ours.see(str(fields["task"]), last_question(fields))
    for _, fields in lines(path):
        theirs.see(str(fields["task"]), last_question(fields))
    wanted: dict[object, list[str]] = {}
    for fields in held_out:
        for key in {_whole(fields["messages"][:-1]), _part(ours, fields)} - {None}:
            wanted.setdefault(key, []).append(str(fields["id"]))
    found: dict[str, str] = {}
    for number, fields in lines(path):
        if program is not None and number % _EVERY == 1:
            program.progress("compare with what was trained", number)
        for key in {*_trained(fields["messages"]), _part(theirs, fields)}:
            for id_ in wanted.get(key, ()):
                found.setdefault(id_, str(fields["id"]))
    return {id_: found[id_] for id_ in (str(fields["id"]) for fields in held_out) if id_ in found}


def _trained(messages: Sequence[Mapping[str, Any]]) -> Iterator[object]:
    """Every start of a conversation that an answer follows."""
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            yield _whole(messages[:turn])


def _whole(messages: Sequence[Mapping[str, Any]]) -> object:
    return tuple((one["role"], normalised(one["content"])) for one in messages if one["role"] != "system")


def _part(varying: Varying, fields: dict[str, Any]) -> object:
    """What varies of a single question; None if there are several, or it is too short to be recognised."""
    if sum(message["role"] == "user" for message in fields["messages"]) != 1:
        return None
    part = normalised(varying.part(str(fields["task"]), last_question(fields)))
    return part if len(part) >= (SHORT_LATIN if part.isascii() else SHORT) else None


def normalised(text: str) -> str:
    """NFKC, case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
