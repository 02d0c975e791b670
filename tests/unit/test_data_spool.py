"""Examples on disk: what is read back is what was written, in any order."""

import pickle
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.examples import Source, make_example
from jobs.data.spool import Finding, Spool, SpoolWriter, decode, encode

TEXT = st.text(st.characters(codec=None), max_size=40)


@given(text=TEXT, answer=TEXT, reason=TEXT)
@settings(max_examples=50, deadline=None)
def test_a_line_holds_any_text(text: str, answer: str, reason: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text + answer):
        return  # no digest: such a record is refused before
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    example = make_example("t", messages, Source("d", 3), None, "hard", "id-1", (text,))
    found = [Finding("echo", reason, dropped=True)]
    line = encode(example, found)
    assert line.count(b"\n") == 1
    assert decode(line) == (example, found)


def test_lines_come_in_the_order_asked_for(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lines = [bytes([65 + i % 26]) * int(draw.integers(1, 5000)) for i in range(300)]
    writer = SpoolWriter(tmp_path / "spool")
    offsets = np.array([writer.append(line) for line in lines])
    lengths = np.array([len(line) for line in lines])
    writer.close()
    spool: Spool = pickle.loads(pickle.dumps(Spool(tmp_path / "spool")))
    for order in (np.arange(300), draw.permutation(300), draw.integers(0, 300, 500), np.arange(0, 300, 50)):
        assert list(spool.lines(offsets[order], lengths[order])) == [lines[i] for i in order]
    assert list(spool.lines(offsets[:0], lengths[:0])) == []
    spool.close()
