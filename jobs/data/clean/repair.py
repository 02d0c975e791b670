"""Unicode repair: text that was decoded wrongly, control and stray zero-width characters (docs/rules/unicode.md).

Never changes quotes, width or normal form: what the user wrote on purpose stays.
"""

import re

import ftfy
from ftfy.badness import is_bad

# Characters without which a text needs no repair: controls, the first characters of text decoded with a wrong
# encoding (Latin, Greek, Cyrillic, box drawing, mathematics), zero-width and non-characters, half surrogate pairs.
_SUSPECT = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\u02ff\u0370-\u052f\u200b\u201a\u201e\u2020-\u2022\u2028-\u2029\u2030\u2060\u206a-"
    "\u206f\u2122\u2200-\u22ff\u2310\u2500-\u25ff\ufeff\ufff9-\uffff\ud800-\udfff]"
)
_LINE_END = re.compile("[\r\x85\u2028\u2029]")
_CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\u2060\u206a-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Thai, Lao, Tibetan, Myanmar and Khmer are written without blanks: there U+200B separates words.
_ZERO_WIDTH = re.compile("(?<![\u0e00-\u109f\u1780-\u17ff])\u200b|\u200b(?![\u0e00-\u109f\u1780-\u17ff])")
_FTFY = ftfy.TextFixerConfig(
    unescape_html=False,  # an answer about HTML means what it says
    uncurl_quotes=False,
    fix_character_width=False,
    fix_latin_ligatures=False,
    normalization=None,
    explain=False,
)


def repair(text: str) -> str:
    """The text without what nobody typed; the same object if nothing is suspect.

    Line ends become \\n. Joiners of emoji (U+200D) and of Persian and Indic words (U+200C), variation selectors and
    directions of right-to-left text stay.
    """
    if not _SUSPECT.search(text):
        return text
    # Halves of a surrogate pair belong together (a JSON escape of UTF-16); one alone is nothing.
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    # ftfy first: it needs the control characters of wrongly decoded text. Accents alone are not bad: 10 us, not 30.
    if is_bad(text) or _CONTROL.search(text) or _LINE_END.search(text):
        text = ftfy.fix_text(text, _FTFY)
    return _ZERO_WIDTH.sub("", _CONTROL.sub("", text))
