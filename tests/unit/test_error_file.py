"""What a rank leaves when it fails: readable whole, also where the disk has no room for more."""

import json
from pathlib import Path

import pytest

from sftjobs import error_file
from sftjobs.error_file import ROOM, Said


@pytest.mark.parametrize("message", ["", "line 3 is cut", "第三行不完整" * 900, "\U0001f600" * 5000, '"\\\n' * 2000])
def test_what_is_left_can_be_read_and_needs_no_more_room(tmp_path: Path, message: str) -> None:
    path = tmp_path / "error.json"
    error_file.make_room(path)
    assert error_file.read(path) == Said()
    error_file.leave(path, message, 21, complaint=True)
    assert error_file.read(path) == Said(message[: error_file.MAX_MESSAGE], 21, True)
    assert path.stat().st_size == ROOM


def test_without_room_made_it_is_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    error_file.leave(path, "no such label", 10)
    assert error_file.read(path) == Said("no such label", 10)
    assert set(json.loads(path.read_bytes())["message"]["extraInfo"]) == {"timestamp", "exit_code", "complaint"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"message": {"message": "m", "extraInfo": {"py_callstack": "...", "timestamp": "1"}}}, "m"),
        ({"message": {"message": "m"}}, "m"),
        ({"message": "plain"}, "plain"),
        ([], ""),
        ({"message": {"extraInfo": []}}, ""),
    ],
)
def test_programs_that_only_know_torch_elastic(tmp_path: Path, written: object, message: str) -> None:
    path = tmp_path / "error.json"
    path.write_text(json.dumps(written))
    assert error_file.read(path) == Said(message)
