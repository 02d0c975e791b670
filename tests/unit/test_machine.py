"""What is said before a run that this machine is not made for."""

import ctypes
from pathlib import Path

import pytest

from sftjobs.cli import machine
from sftjobs.errors import DataError
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.committing import commit_all
from tests.support.specs import data_counts, make_facts, make_spec


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store("store", tmp_path)


def plan_of(**train: int) -> RunPlan:
    return make(make_spec(resources={"train": train}), make_facts())


def test_gpus_are_missing_only_where_there_is_no_trace_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> None:
        raise OSError(name)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    devices = tmp_path / "dev"
    devices.mkdir()
    assert not machine.may_have_gpu(devices)
    for name in ("nvidia3", "nvidiactl", "kfd", "dxg"):
        (devices / name).touch()
        assert machine.may_have_gpu(devices)
        (devices / name).unlink()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: name)
    assert machine.may_have_gpu(devices), "a driver without a device that we know"


def test_a_plan_for_gpus_is_refused_where_there_are_none(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(gpus_per_node=1)
    monkeypatch.setattr(machine, "may_have_gpu", lambda: True)
    machine.refuse_missing_gpus(plan, store)
    monkeypatch.setattr(machine, "may_have_gpu", lambda: False)
    machine.refuse_missing_gpus(plan_of(), store)
    with pytest.raises(DataError, match=r"stage train is planned for GPUs, .* set resources\.train\.gpus_per_node in"):
        machine.refuse_missing_gpus(plan, store)
    commit_all(store, plan, tmp_path, {"data": data_counts()}, until="train")
    machine.refuse_missing_gpus(plan, store)  # what is committed needs no GPU


def test_far_more_threads_than_cores_are_noted(store: Store, tmp_path: Path) -> None:
    plan = plan_of(processes_per_node=64)
    said = machine.note_on_threads(plan, store, cores=2) or ""
    assert said.startswith("note: stage train starts 64 ranks with 2 threads each, and this machine has 2 cores: ")
    assert machine.note_on_threads(plan, store, cores=64) is None
    assert machine.note_on_threads(plan_of(), store, cores=1) is None, "the default, whatever the machine"
    commit_all(store, plan, tmp_path, {"data": data_counts()}, until="train")
    assert machine.note_on_threads(plan, store, cores=2) is None
