"""Rule `pii`: personal data and secrets, by regular expressions whose finds are validated (docs/rules/pii.md)."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from jobs.data.clean.pii_numbers import is_bank_card, is_public_ip, is_resident_id
from jobs.data.clean.text import View

PLACEHOLDERS = {
    "secret": "[SECRET]",
    "email": "[EMAIL]",
    "cn_id": "[ID_NUMBER]",
    "bank_card": "[BANK_CARD]",
    "phone": "[PHONE]",
    "ip": "[IP_ADDRESS]",
}
"""What stands for each kind after masking, the same in all languages; in the order in which kinds are looked for."""

# Characters of the same number of digits: places in the text stay.
_HALF_WIDTH = {0xFF10 + i: 48 + i for i in range(10)} | {ord("＠"): 64, ord("．"): 46, ord("－"): 45, ord("＋"): 43}
_HALF_WIDTH |= {ord("（"): 40, ord("）"): 41, ord("Ｘ"): 88, 0x2010: 45, 0x2011: 45, 0x2013: 45, 0xA0: 32, 0x3000: 32}
_FULL_WIDTH = re.compile("[０-９＠]")
_MAY = re.compile("[0-9@０-９＠]")
_MANY_DIGITS = re.compile(r"\d(?:[ .()-]{0,2}\d){6}")
_DOTTED = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d")

# A number never begins or ends inside a longer run of letters and digits, nor behind a decimal point.
_BEFORE = r"(?<![0-9A-Za-z_])(?<!\d[.-])"
_AFTER = r"(?![0-9A-Za-z_])(?![.-]\d)"
_ID = re.compile(_BEFORE + r"(?:\d{6} ?\d{8} ?\d{3}[\dXx]|\d{15})" + _AFTER)
_CARD = re.compile(_BEFORE + r"(?:\d{16,19}|\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?)" + _AFTER)
_PHONE = re.compile(
    r"(?<![0-9A-Za-z_+])(?<!\d[.-])(?:(?:\+|00)?86[ -]?)?1[3-9]\d([ -]?)\d{4}\1\d{4}" + _AFTER
    + r"|(?<![\w+])\+[1-9](?:[ .()-]{0,2}\d){7,14}" + _AFTER  # E.164: at most 15 digits
    + r"|(?<![\w+-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}" + _AFTER  # North America
)  # fmt: skip
_LANDLINE = re.compile(r"(?<![\w+-])(?:\(0\d{2,3}\) ?|0\d{2,3}[ -])[2-9]\d{6,7}" + _AFTER)
_IP = re.compile(r"(?<![\w.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\w)(?!\.\d)")
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9])"
)

# Fixed beginnings of keys, from the documentation of who issues them.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|LTAI[0-9A-Za-z]{12,24}|AIza[0-9A-Za-z_-]{35}"
    r"|sk-[0-9A-Za-z_-]{20,200}|gh[pousr]_[0-9A-Za-z]{36,80}|github_pat_[0-9A-Za-z_]{22,100}|glpat-[0-9A-Za-z_-]{20}"
    r"|hf_[0-9A-Za-z]{30,40}|xox[abprs]-[0-9A-Za-z-]{10,80}"
    r"|eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,})(?![A-Za-z0-9])"
)
_PEM = re.compile(r"-----BEGIN ([A-Z ]{0,20}PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_PASSWORD = re.compile(
    r"(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|密码|口令)"
    r"[\"']?\s{0,3}(?:[=:：＝]|是|为)\s{0,3}[\"']?([!-~]{6,128})",
    re.IGNORECASE,
)
_CODE = re.compile(r"[(\[]")
_NO_VALUE = re.compile(r"[<$({*%\[]|your|xxx|none\b|null\b|true\b|false\b|changeme|\.\.\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PiiSettings:
    """What is looked for."""

    kinds: tuple[str, ...] = tuple(PLACEHOLDERS)
    """Of secret, email, cn_id, bank_card, phone, ip."""
    landline: bool = False
    """Whether `phone` includes Chinese landline numbers with an area code: most are of companies."""


@dataclass(frozen=True, slots=True)
class Found:
    """One find: text[start:end] is of a kind."""

    kind: str
    start: int
    end: int


class PiiRule:
    """Finds, counts and masks. Looks at all texts of an example."""

    name: ClassVar[str] = "pii"

    def __init__(self, settings: PiiSettings = PiiSettings()) -> None:
        self._kinds = frozenset(settings.kinds)
        self._landline = settings.landline

    def check(self, view: View) -> str | None:
        """The reason, or None. Names kinds and counts, never what was found."""
        counts: Counter[str] = Counter()
        for text in (*view.inputs, *view.answers):
            counts.update(one.kind for one in self.find(text))
        return describe(counts) if counts else None

    def mask(self, text: str) -> tuple[str, Counter[str]]:
        """The text with a placeholder for each find, and the number of finds by kind."""
        found = self.find(text)
        if not found:
            return text, Counter()
        parts, end = [], 0
        for one in found:
            parts += [text[end : one.start], PLACEHOLDERS[one.kind]]
            end = one.end
        return "".join(parts) + text[end:], Counter(one.kind for one in found)

    def find(self, text: str) -> list[Found]:
        """All finds in the order of their places; no two overlap."""
        has_digits = _MAY.search(text) is not None
        if not has_digits and not _speaks_of_secret(text):
            return []
        plain = text.translate(_HALF_WIDTH) if not text.isascii() and _FULL_WIDTH.search(text) else text
        taken: list[Found] = []
        for kind, start, end in self._candidates(plain):
            if all(end <= one.start or start >= one.end for one in taken):
                taken.append(Found(kind, start, end))
        return sorted(taken, key=lambda one: one.start)

    def _candidates(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Finds by kind, the surest first: a later one that overlaps does not count."""
        kinds = self._kinds
        if "secret" in kinds:
            yield from _secrets(text)
        if "@" in text and "email" in kinds:
            yield from (("email", *found.span()) for found in _EMAIL.finditer(text))
        if _MANY_DIGITS.search(text):
            # Looked for even if switched off: an identity number must not be taken for a card.
            ids = [found.span() for found in _ID.finditer(text) if is_resident_id(found.group().replace(" ", ""))]
            yield from (("cn_id", *span) for span in ids if "cn_id" in kinds)
            if "bank_card" in kinds:
                yield from (("bank_card", *span) for span in _cards(text) if span not in ids)
            if "phone" in kinds:
                yield from (("phone", *found.span()) for found in _PHONE.finditer(text))
                if self._landline:
                    yield from (("phone", *found.span()) for found in _LANDLINE.finditer(text))
        if "ip" in kinds and _DOTTED.search(text):
            found_ips = ((found, [int(octet) for octet in found.groups()]) for found in _IP.finditer(text))
            yield from (("ip", *found.span()) for found, octets in found_ips if is_public_ip(octets))


def _speaks_of_secret(text: str) -> bool:
    """Keys have digits; a password and what stands around a private key may have none."""
    lower = text.lower()
    return (
        "pass" in lower
        or "pwd" in lower
        or "secret" in lower
        or "key" in lower
        or "token" in lower
        or ("密码" in lower or "口令" in lower)
    )


def describe(counts: Counter[str]) -> str:
    """`2 phone, 1 email`: for a reason or a report."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text):
        if is_bank_card(re.sub(r"\D", "", found.group())):
            yield found.span()


def _secrets(text: str) -> Iterator[tuple[str, int, int]]:
    for pattern in (_PEM, _KEY):
        yield from (("secret", *found.span()) for found in pattern.finditer(text))
    for found in _PASSWORD.finditer(text):
        value = found.group(1).rstrip("\"',.;)}")
        # A word of letters is what a sentence says about a password; `os.environ[...]` and `<yours>` are no secrets.
        if len(value) >= 6 and not value.isalpha() and not _NO_VALUE.match(value) and not _CODE.search(value):
            yield "secret", found.start(1), found.start(1) + len(value)
