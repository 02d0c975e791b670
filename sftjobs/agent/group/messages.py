"""What the agents of a group say to each other, one JSON object per line."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from sftjobs.agent.group.base import Doubt
from sftjobs.agent.whereabouts import Place
from sftjobs.attempts import Termination
from sftjobs.model import Document


class Hello(Document):
    """First word of a peer: it belongs to this attempt."""

    kind: Literal["hello"] = "hello"
    nonce: str
    """SHA-256 of the attempt's intent, which every agent of the attempt has read from the store."""
    node: int
    """Node rank, from 1."""


class Proposal(Document):
    """To peers: fetch your part of this checkpoint."""

    kind: Literal["proposal"] = "proposal"
    incarnation: int
    """Of this attempt; new checkpoints are uploaded under it."""
    step: int | None
    """Step of the checkpoint to go on from; None to begin at the beginning."""
    saved_by: int | None = None
    """Incarnation that saved it."""


class Answer(Document):
    """To node 0: the answer to a proposal."""

    kind: Literal["answer"] = "answer"
    problem: str = ""
    """What is wrong with the checkpoint; empty if it is here."""


class Start(Document):
    """To peers: all nodes are ready, start the ranks."""

    kind: Literal["start"] = "start"
    port: int
    """MASTER_PORT: where rank 0 will listen."""


class Written(Document):
    """To node 0, when it has changed: which checkpoints are complete on the disk here."""

    kind: Literal["written"] = "written"
    steps: list[int]


class Save(Document):
    """To peers: upload your part of the checkpoint of this step."""

    kind: Literal["save"] = "save"
    step: int


class Saved(Document):
    """To node 0: the part is in the store, or cannot be brought there."""

    kind: Literal["saved"] = "saved"
    step: int
    problem: str = ""


class Stop(Document):
    """Both ways: somebody was asked to stop, so all are."""

    kind: Literal["stop"] = "stop"


class Whereabouts(Document):
    """To node 0, every few seconds: where the ranks here are."""

    kind: Literal["whereabouts"] = "whereabouts"
    places: list[Place]


class Dump(Document):
    """To peers: there is no progress; write the stacks of your ranks into the log."""

    kind: Literal["dump"] = "dump"


class Failed(Document):
    """To node 0: the ranks here have ended, and not well."""

    kind: Literal["failed"] = "failed"
    termination: Termination
    doubt: Doubt
    """Of the first rank to fail here."""


class Finished(Document):
    """To node 0: all ranks here have ended well."""

    kind: Literal["finished"] = "finished"


class Stopped(Document):
    """To node 0: all ranks here have ended on request, before their work was done."""

    kind: Literal["stopped"] = "stopped"


class End(Document):
    """To peers: this is how the attempt ended, for all of you."""

    kind: Literal["end"] = "end"
    termination: Termination


class Ping(Document):
    """Both ways: still here."""

    kind: Literal["ping"] = "ping"


Message = (
    Hello
    | Proposal
    | Answer
    | Start
    | Written
    | Save
    | Saved
    | Stop
    | Whereabouts
    | Dump
    | Failed
    | Finished
    | Stopped
    | End
    | Ping
)
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def encode(message: Message) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises ValueError (pydantic's ValidationError) if it is none."""
    return _MESSAGE.validate_json(line)
