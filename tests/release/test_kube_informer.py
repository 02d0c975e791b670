"""The copy of what a cluster has, while its API server does everything it can do to a watch."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from sftjobs.kube import informer as module
from sftjobs.kube.api import ApiError
from sftjobs.kube.informer import Informer
from tests.support.scripted_api import (
    Answer,
    Gate,
    ScriptedApi,
    Stream,
    bookmark,
    event,
    expired,
    listing,
    status,
    thing,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """A server, and informers that wait less than in life."""
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(module, "SILENCE_S", 0.4)
    with ScriptedApi() as found:
        yield found


@pytest.fixture
def start(server: ScriptedApi) -> Iterator[Callable[..., Informer]]:
    made: list[Informer] = []

    def make(on_change: Callable[[], None] = lambda: None) -> Informer:
        made.append(Informer(server.api(), "jobs", "run=a", on_change))
        return made[-1]

    yield make
    for informer in made:
        informer.close()


def names_of(informer: Informer) -> list[str]:
    return sorted(item["metadata"]["name"] for item in informer.snapshot())


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def is_unknown(informer: Informer) -> bool:
    try:
        informer.snapshot()
    except ApiError:
        return True
    return False


def test_list_once_then_watch(server: ScriptedApi, start: Callable[..., Informer]) -> None:
    server.script("GET jobs", listing("5", thing("a"), thing("b")))
    server.script("WATCH jobs", stream := Stream(bookmark("6")))
    changed = threading.Event()
    informer = start(changed.set)
    assert names_of(informer) == ["a", "b"]
    stream.opened.wait(5)
    changed.clear()
    stream.send(event("ADDED", thing("c", "7")))
    assert changed.wait(5)
    stream.send(event("MODIFIED", thing("a", "8", spec={"suspend": True})), event("DELETED", thing("b", "9")))
    until(lambda: names_of(informer) == ["a", "c"])
    assert next(item for item in informer.snapshot() if item["metadata"]["name"] == "a")["spec"] == {"suspend": True}
    assert len(server.asked("GET jobs")) == 1
    assert server.asked("WATCH jobs")[0].query["resourceVersion"] == "5"


def test_the_end_of_a_watch_needs_no_listing(server: ScriptedApi, start: Callable[..., Informer]) -> None:
    server.script("GET jobs", listing("5"))
    server.script("WATCH jobs", first := Stream(event("ADDED", thing("a", "6")), bookmark("17")), Stream())
    informer = start()
    until(lambda: names_of(informer) == ["a"])
    first.end()
    until(lambda: len(server.asked("WATCH jobs")) == 2)
    assert server.asked("WATCH jobs")[1].query["resourceVersion"] == "17", "the bookmark counts"
    assert len(server.asked("GET jobs")) == 1
    assert names_of(informer) == ["a"]


@pytest.mark.parametrize(
    "broken",
    [
        Stream(expired()).end(),
        status(410, "Gone", "too old resource version"),
        status(429, "TooManyRequests", "later"),
        status(500, "InternalError", "etcd has no leader"),
        Stream(event("ADDED", thing("never", "6"))[:-30]).cut(),
        Stream(),
        Answer(200, b"<html>proxy</html>\n"),
    ],
    ids=["410 in the watch", "410 as answer", "429", "500", "cut in a line", "silence", "not JSON"],
)
def test_a_watch_that_breaks_is_mended_by_a_listing(
    server: ScriptedApi, start: Callable[..., Informer], broken: Answer | Stream
) -> None:
    server.script("GET jobs", listing("5", thing("a")), listing("9", thing("b")))
    server.script("WATCH jobs", breaks := Gate(broken), Stream())
    informer = start()
    assert names_of(informer) == ["a"]
    breaks.open()
    until(lambda: names_of(informer) == ["b"])  # raises if it is called unknown in between
    until(lambda: len(server.asked("WATCH jobs")) == 2)
    assert server.asked("WATCH jobs")[1].query["resourceVersion"] == "9"


@pytest.mark.parametrize(
    "refused",
    [status(500, "InternalError", "no leader"), status(403, "Forbidden", "may not list"), Answer(200, b"no JSON")],
)
def test_what_cannot_be_listed_is_unknown(server: ScriptedApi, start: Callable[..., Informer], refused: Answer) -> None:
    server.script("GET jobs", refused, refused, works := Gate(listing("5", thing("a"))))
    server.script("WATCH jobs", Stream())
    changed = threading.Event()
    informer = start(changed.set)
    with pytest.raises(ApiError):
        informer.snapshot()
    assert changed.wait(5), "whoever waits is told about trouble, too"
    works.open()
    until(lambda: not is_unknown(informer))
    assert names_of(informer) == ["a"]


def test_a_server_that_goes_away_and_comes_back(server: ScriptedApi, start: Callable[..., Informer]) -> None:
    away = status(503, "ServiceUnavailable", "starting")
    server.script("GET jobs", listing("5", thing("a")), away, away, back := Gate(listing("9", thing("b"))))
    server.script("WATCH jobs", stream := Stream(), away, Stream())
    informer = start()
    assert names_of(informer) == ["a"]
    stream.opened.wait(5)
    stream.cut()
    until(lambda: is_unknown(informer))
    back.open()
    until(lambda: not is_unknown(informer))
    assert names_of(informer) == ["b"]


def test_retry_after_is_kept(server: ScriptedApi, start: Callable[..., Informer]) -> None:
    later = status(429, "TooManyRequests", "later", Retry_After="1")
    server.script("GET jobs", later, works := Gate(listing("5")))
    server.script("WATCH jobs", Stream())
    informer = start()
    assert is_unknown(informer)
    works.open()
    until(lambda: not is_unknown(informer))
    first, second = server.asked("GET jobs")
    assert second.at - first.at >= 1.0
    assert names_of(informer) == []


@pytest.mark.parametrize(
    "useless", [Answer(200, b""), status(403, "Forbidden", "may list, may not watch"), status(410, "Gone", "again")]
)
def test_a_watch_that_never_works_is_not_asked_for_all_the_time(
    server: ScriptedApi, start: Callable[..., Informer], useless: Answer
) -> None:
    server.script("GET jobs", listing("5", thing("a")))
    server.script("WATCH jobs", useless)
    informer = start()
    assert names_of(informer) == ["a"]
    until(lambda: len(server.asked("WATCH jobs")) == 4)
    asked = [request.at for request in server.asked("WATCH jobs")]
    waited = [after - before for before, after in pairwise(asked)]
    assert all(seconds >= least for seconds, least in zip(waited, (0.05, 0.1, 0.2), strict=True)), "the waits double"


def test_it_lists_again_now_and_then(
    server: ScriptedApi, start: Callable[..., Informer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RELIST_S", 0.1)
    server.script("GET jobs", listing("5", thing("a")), listing("9", thing("b")))
    server.script("WATCH jobs", first := Stream(), Stream())
    informer = start()
    assert names_of(informer) == ["a"]
    time.sleep(0.2)
    first.end()
    until(lambda: names_of(informer) == ["b"])


def test_what_was_just_made_is_known_at_once(server: ScriptedApi, start: Callable[..., Informer]) -> None:
    server.script("GET jobs", listing("5", thing("old", "5")))
    server.script("WATCH jobs", stream := Stream())
    informer = start()
    assert names_of(informer) == ["old"]
    informer.put(thing("new", "7"))
    assert names_of(informer) == ["new", "old"]
    informer.put(thing("old", "3", stale=True))
    assert not any(item.get("stale") for item in informer.snapshot())
    stream.send(event("DELETED", thing("new", "8")))
    until(lambda: names_of(informer) == ["old"])


def test_a_listing_that_was_under_way_does_not_hide_what_was_just_made(
    server: ScriptedApi, start: Callable[..., Informer]
) -> None:
    server.script("GET jobs", listing("5"), listing("6"), listing("9"))
    server.script("WATCH jobs", first := Stream(), second := Stream(), Stream())
    informer = start()
    assert names_of(informer) == []
    informer.put(thing("new", "7"))
    first.cut()
    assert second.opened.wait(5)
    assert names_of(informer) == ["new"]
    second.cut()
    until(lambda: names_of(informer) == [])


def test_a_defect_does_not_look_like_a_quiet_cluster(
    server: ScriptedApi, start: Callable[..., Informer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.5)
    server.script("GET jobs", listing("5"), again := Gate(listing("9", thing("new", "8"))))
    server.script("WATCH jobs", stream := Stream())
    informer = start()
    assert names_of(informer) == []
    stream.opened.wait(5)
    stream.send(event("ADDED", {"no": "metadata"}))
    until(lambda: is_unknown(informer))
    again.open()
    until(lambda: not is_unknown(informer))
    assert names_of(informer) == ["new"], "and does not end a controller either"
