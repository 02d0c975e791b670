"""Long passages that a text shares with a protected one: n-grams, as GPT-3 was decontaminated with (Brown et al. 2020,
appendix C: 13 words). For East Asian text characters are counted: 13 words of Chinese have about 26.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from zlib import crc32

from jobs.data.near.shingles import is_east_asian, normalised

RESIDUE = 0.05
"""A passage in more than this share of the protected texts is part of a template, not of a question."""
_RESIDUE_LEAST = 10
_SHORT_WORDS = 8
_SHORT_CHARACTERS = 16
"""A protected text that is shorter than an n-gram, but not than this, is looked for as a whole."""


class NGramIndex:
    """The passages of protected texts. Can be sent to another process."""

    def __init__(self, texts: Sequence[str], words: int = 13, characters: int = 26) -> None:
        self._words, self._characters = words, characters
        self._found: dict[int, int] = {}
        self._anchors: set[int] = set()
        self.residue: list[str] = []
        """Passages that are so frequent that they are not counted."""
        often = self._frequent(texts)
        lengths: dict[bool, set[int]] = {False: set(), True: set()}
        for number, text in enumerate(texts):
            found, east_asian = _tokens(text)
            for passage in set(self._passages(found, east_asian)):
                key = _key(passage)
                if key not in often:
                    lengths[east_asian].add(self._length(found, east_asian))
                    self._found.setdefault(key, number)
                    self._anchors.add(self._anchor(passage, east_asian))
        self._lengths = {kind: sorted(found, reverse=True) for kind, found in lengths.items()}

    def matches(self, text: str) -> tuple[int, str] | None:
        """The first passage that `text` shares with a protected text: (number of that text, passage); None if none.

        A text of several scripts is looked through both ways: a question in Chinese may stand in English around it.
        """
        found, east_asian = _tokens(text)
        match = self._match(found, east_asian)
        if match is None and not text.isascii():
            plain = normalised(text)
            match = self._match(plain.split() if east_asian else list(plain.replace(" ", "")), not east_asian)
        return match

    def _match(self, found: list[str], east_asian: bool) -> tuple[int, str] | None:
        joint, least = ("", self._least(True)) if east_asian else (" ", self._least(False))
        anchors, lengths = self._anchors, self._lengths[east_asian]
        if not lengths:
            return None
        for i in range(len(found) - least + 1):
            if crc32(joint.join(found[i : i + least]).encode("utf-8", "surrogatepass")) not in anchors:
                continue
            for length in lengths:
                passage = joint.join(found[i : i + length])
                number = self._found.get(_key(passage)) if i + length <= len(found) else None
                if number is not None:
                    return number, passage
        return None

    def _least(self, east_asian: bool) -> int:
        """Tokens of the shortest passage. A hash of so many is looked up first: it is the same for all lengths."""
        return min(_SHORT_CHARACTERS, self._characters) if east_asian else min(_SHORT_WORDS, self._words)

    def _anchor(self, passage: str, east_asian: bool) -> int:
        least = self._least(east_asian)
        head = passage[:least] if east_asian else " ".join(passage.split(" ")[:least])
        return crc32(head.encode("utf-8", "surrogatepass"))

    def _length(self, found: list[str], east_asian: bool) -> int:
        """Tokens of the passages of a text; 0 if it is too short to have one."""
        length = min(len(found), self._characters if east_asian else self._words)
        return length if length >= self._least(east_asian) else 0

    def _passages(self, found: list[str], east_asian: bool) -> Iterator[str]:
        length = self._length(found, east_asian)
        joint = "" if east_asian else " "
        if length:
            for i in range(len(found) - length + 1):
                yield joint.join(found[i : i + length])

    def _frequent(self, texts: Sequence[str]) -> set[int]:
        """Keys of passages that are part of a template."""
        numbers: Counter[int] = Counter()
        shown: dict[int, str] = {}
        for text in texts:
            for passage in set(self._passages(*_tokens(text))):
                key = _key(passage)
                numbers[key] += 1
                if numbers[key] == _RESIDUE_LEAST:
                    shown[key] = passage
        most = max(_RESIDUE_LEAST, RESIDUE * len(texts))
        often = {key for key, number in numbers.items() if number > most}
        self.residue = [shown[key] for key in sorted(often)][:20]
        return often


def _tokens(text: str) -> tuple[list[str], bool]:
    """Tokens, and whether they are characters."""
    plain = normalised(text)
    if is_east_asian(plain):
        return list(plain.replace(" ", "")), True
    return plain.split(), False


def _key(passage: str) -> int:
    """64 bits, the same in every process."""
    return int.from_bytes(blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
