"""LEASE: exclusion, renewal, staleness, loss."""

import threading
import time
from pathlib import Path

import pytest

from sftjobs.artifact.lease import Lease, LeaseBody, LeaseWatch, observe
from sftjobs.artifact.owner import Owner, owner_alive, this_owner
from sftjobs.canonical import readable
from sftjobs.errors import BusyError
from sftjobs.store.folder import FolderStore

KEY = "stages/train/k/LEASE"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def put_lease(store: FolderStore, owner: Owner, renewed: float = 0.0) -> None:
    body = LeaseBody(nonce="another", owner=owner, renewed=renewed)
    store.put(KEY, readable(body.model_dump(mode="json")))


def elsewhere() -> Owner:
    return this_owner("run", "agent of train").model_copy(update={"host": "elsewhere"})


def gone() -> Owner:
    """A process of this machine with the pid of this test and another start time."""
    me = this_owner("run", "agent of train")
    return me.model_copy(update={"start_time": me.start_time - 1000, "start_ticks": 1})


def test_one_holder_at_a_time(store: FolderStore) -> None:
    with Lease(store, KEY, what="first"), pytest.raises(BusyError, match=r"is held by first \(pid \d+ on "):
        Lease(store, KEY, what="second").acquire()
    with Lease(store, KEY, what="second") as lease:
        assert not lease.lost
    assert list(store.list("")) == []


def test_renewal_changes_what_observers_see(store: FolderStore) -> None:
    with Lease(store, KEY, what="first", renew_every_s=0.01):
        first = store.get(KEY).etag
        deadline = time.monotonic() + 10
        while store.get(KEY).etag == first:
            assert time.monotonic() < deadline


def test_an_owner_of_this_machine_that_is_gone_is_stale_at_once(store: FolderStore) -> None:
    put_lease(store, gone(), renewed=time.time())
    assert not observe(store, KEY, LeaseWatch()).held
    with Lease(store, KEY, what="mine"):
        assert observe(store, KEY, LeaseWatch()).held


def test_an_owner_elsewhere_is_stale_when_its_etag_rests(store: FolderStore) -> None:
    put_lease(store, elsewhere())
    watch = LeaseWatch(stale_after_s=0.05)
    view = observe(store, KEY, watch)
    assert view.held
    assert view.owner == elsewhere()
    time.sleep(0.06)
    assert not observe(store, KEY, watch).held
    put_lease(store, elsewhere(), renewed=1.0)
    assert observe(store, KEY, watch).held


def test_takes_over_what_is_stale_elsewhere(store: FolderStore) -> None:
    put_lease(store, elsewhere())
    with Lease(store, KEY, what="mine", stale_after_s=0.05):
        view = observe(store, KEY, LeaseWatch())
        assert view.owner is not None
        assert view.owner.what == "mine"


def test_a_renewal_elsewhere_means_busy(store: FolderStore) -> None:
    put_lease(store, elsewhere())
    stop = threading.Event()

    def renew() -> None:
        renewed = 0.0
        while not stop.wait(0.02):
            renewed += 1.0
            put_lease(store, elsewhere(), renewed)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(BusyError, match="on elsewhere"):
            Lease(store, KEY, what="mine").acquire()
    finally:
        stop.set()
        thread.join()


def test_waiting_can_be_given_up(store: FolderStore) -> None:
    put_lease(store, elsewhere())
    with pytest.raises(BusyError):
        Lease(store, KEY, what="mine").acquire(given_up=lambda: True)


def test_a_lost_lease_is_noticed_and_left_alone(store: FolderStore) -> None:
    lease = Lease(store, KEY, what="mine")
    lease.acquire()
    put_lease(store, elsewhere())
    lease.renew()
    assert lease.lost
    lease.release()
    view = observe(store, KEY, LeaseWatch())
    assert view.owner is not None
    assert view.owner.host == "elsewhere"


def test_a_deleted_lease_is_lost(store: FolderStore) -> None:
    lease = Lease(store, KEY, what="mine")
    lease.acquire()
    store.delete(KEY)
    lease.renew()
    assert lease.lost
    lease.release()


def test_an_unreadable_lease_is_judged_by_its_etag(store: FolderStore) -> None:
    store.put(KEY, b"{")
    watch = LeaseWatch(stale_after_s=0.05)
    assert observe(store, KEY, watch).held
    time.sleep(0.06)
    assert not observe(store, KEY, watch).held


def test_no_lease_is_not_held(store: FolderStore) -> None:
    view = observe(store, KEY, LeaseWatch())
    assert not view.held
    assert view.owner is None


def test_only_the_same_machine_boot_and_container_can_be_judged() -> None:
    me = this_owner("", "")
    assert owner_alive(me) is True
    assert owner_alive(gone()) is False
    for other in ("host", "boot_id", "pid_namespace"):
        assert owner_alive(me.model_copy(update={other: "other"})) is None


def test_a_clock_that_was_set_does_not_make_a_living_owner_stale() -> None:
    me = this_owner("", "")
    assert me.start_ticks is not None
    assert owner_alive(me.model_copy(update={"start_time": me.start_time - 3600})) is True
    assert owner_alive(me.model_copy(update={"start_ticks": None})) is True, "a LEASE of an older version"
