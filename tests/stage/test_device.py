"""A stage computes where it was planned, whatever the machine has."""

import pytest
import torch

from jobs.lm.device import planned_device
from sftjobs.errors import DataError
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from tests.support.specs import artifact, data_counts, make_facts, make_spec


def test_cpu_is_cpu_even_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert planned_device("cpu", 0) == torch.device("cpu")


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DataError, match="PyTorch finds 1: set gpus_per_node"):
        planned_device("cuda", 1)


@pytest.mark.parametrize(("stage", "kind"), [("train", "train"), ("eval-base", "eval")])
def test_results_of_gpu_and_cpu_have_different_keys(stage: str, kind: str) -> None:
    inputs = {"data": artifact("data", "data", data_counts())}
    keys = set()
    for gpus in (0, 1):
        plan = make(make_spec(resources={kind: {"gpus_per_node": gpus}}), make_facts())
        finished = finish(plan, stage, inputs)
        assert finished.config["device"] == ("cuda" if gpus else "cpu")
        keys.add(finished.key)
    assert len(keys) == 2
