"""One message of a conversation."""

from typing import NotRequired, TypedDict


class Message(TypedDict):
    """What somebody says."""

    role: str
    """system, user or assistant."""
    content: str
    train: NotRequired[bool]
    """False for an answer that is not to be learned; the template never sees it."""
