"""Planning does not get slower with nodes, GPUs and examples."""

import time

import pytest

from sftjobs.objects import JobSettings, build_job
from sftjobs.plan.finish import finish
from sftjobs.plan.make import make
from sftjobs.plan.preview import preview
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.store.open import open_store
from tests.support.specs import artifact, data_counts, make_facts, make_spec

LIMIT_S = 0.5
"""CPU seconds; `sftjobs plan` as a whole may take 2 (tests/bench/bench_cli.py)."""


@pytest.mark.parametrize("examples", [4_000, 10_000_000])
def test_512_nodes_of_8_gpus(examples: int, tmp_path: str) -> None:
    began = time.process_time()
    plan = make(make_spec(resources={"train": {"nodes": 512, "gpus_per_node": 8}}), make_facts())
    stage = finish(plan, "train", {"data": artifact("data", "data", data_counts(examples))})
    intents = preview(plan, open_store("store", tmp_path))  # type: ignore[arg-type]
    train = next(intent for intent in intents if intent.plan.stage == "train")
    job = build_job(train, JobSettings(store=make_spec().store, cluster=ClusterSpec(), namespace="x"))  # type: ignore[arg-type]
    assert time.process_time() - began < LIMIT_S
    assert stage.config["world_size"] == 4096
    assert stage.config["steps"] == 2 * -(-examples // 4096), "no batch spans two epochs"
    assert job["kind"] == "Job"
    assert len(stage.model_dump_json()) < 10_000, "a plan does not list its ranks"
