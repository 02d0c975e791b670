"""explain, gc, push and pull on a real folder store."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sftjobs import gc, names, runs
from sftjobs.artifact import stages
from sftjobs.artifact.digest import artifact_digest
from sftjobs.artifact.lease import Lease
from sftjobs.canonical import readable
from sftjobs.controller.status import run_state
from sftjobs.errors import BusyError, ChangedError, DamagedError, DataError
from sftjobs.explain import explain
from sftjobs.plan import configs
from sftjobs.plan.committed import committed, done_in
from sftjobs.plan.facts import previous_run, resolve
from sftjobs.plan.finish import finish
from sftjobs.plan.inputs import pushed
from sftjobs.plan.make import make
from sftjobs.plan.types import FileEntry, RunPlan
from sftjobs.pull import pull
from sftjobs.push import push_inputs, pushed_spec
from sftjobs.report.publish import publish
from sftjobs.spec.load import load
from sftjobs.store.base import Store
from sftjobs.store.open import open_store
from tests.support.committing import commit_all
from tests.support.specs import data_counts, external, make_facts, make_spec

COUNTS = {
    "data": data_counts(),
    "eval-base": {"metrics": {"accuracy": 0.1}},
    "eval-tuned": {"metrics": {"accuracy": 0.9}},
}
OWNER = runs.Owner(user="u", host="h", backend="process", run="demo", created=1.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store("store", tmp_path)


def plan_of(**changes: object) -> RunPlan:
    return make(make_spec(**changes), make_facts())


def test_explain_names_the_field_and_what_waits(store: Store, tmp_path: Path) -> None:
    commit_all(store, plan_of(), tmp_path, COUNTS)
    found = {e.stage: e for e in explain(plan_of(train={"learning_rate": 1e-3}), store)}
    assert found["data"].text == found["eval-base"].text == "cached"
    there = found["train"].nearest or ""
    assert found["train"].text == (
        f"runs, compared with train of demo-{there[:10]}: config.learning_rate: 0.0005 -> 0.001"
    )
    assert found["eval-tuned"].waits_for == ["train"]
    assert "eval-tuned" in found["compare"].text


def test_explain_names_four_fields_and_short_digests(store: Store, tmp_path: Path) -> None:
    commit_all(store, plan_of(), tmp_path, COUNTS, until="data")
    facts = make_facts(externals={**make_facts().externals, "held_out": external("h", "d" * 64)})
    data = {"tasks": {"t": {"path": "x", "max_examples": 7}}, "held_out": {"path": "h"}, "max_tokens": 99}
    changed = make(make_spec(seed=9, data={**data, "overlength": "truncate"}), facts)
    found = explain(changed, store)[0]
    fields = [field for field, _, _ in found.changed]
    assert len(fields) > 4 and "inputs.held_out.digest" in fields
    assert found.text.count(" -> ") == 4
    assert found.text.endswith(f"; and {len(fields) - 4} more (`sftjobs explain -o json` has them)")
    only = replace(found, changed=[one for one in found.changed if one[0] == "inputs.held_out.digest"])
    assert only.text.endswith(f": inputs.held_out.digest: {'c' * 12} -> {'d' * 12}")
    assert replace(only, nearest_run=None).text.startswith(f"runs, compared with {(found.nearest or '')[:12]}: ")


def test_explain_in_an_empty_store(store: Store) -> None:
    assert explain(plan_of(), store)[0].text == "runs: no stage of this kind in the store yet"


def test_gc_keeps_what_a_run_leads_to(store: Store, tmp_path: Path) -> None:
    plan = plan_of()
    commit_all(store, plan, tmp_path, COUNTS)
    runs.create_run(store, plan, b"name: demo\n", OWNER)
    assert gc.find(store, set(), grace_s=-1).found == {}


def test_gc_drops_a_run_but_not_what_another_run_shares(store: Store, tmp_path: Path) -> None:
    first, second = plan_of(), plan_of(train={"learning_rate": 1e-3})
    for number, plan in enumerate((first, second)):
        commit_all(store, plan, tmp_path / str(number), COUNTS)
    dropped = runs.create_run(store, first, b"name: demo\n", OWNER)
    kept = runs.create_run(store, second, b"name: demo\n", OWNER)
    sweep = gc.find(store, {dropped}, grace_s=-1)
    assert set(sweep.found) == {"records of dropped runs", "stages that no run needs"}
    assert gc.find(store, {dropped}, grace_s=3600).found.keys() == {"records of dropped runs"}
    for _ in gc.delete(store, sweep):
        pass
    assert set(committed(second, store)) == {node.name for node in second.stages}
    assert [record.run_id for record in runs.list_runs(store)] == [kept]
    assert "train" not in committed(first, store)


def test_gc_sweeps_other_incarnations_but_not_their_claims(store: Store, tmp_path: Path) -> None:
    plan = plan_of()
    done = commit_all(store, plan, tmp_path, COUNTS)
    runs.create_run(store, plan, b"name: demo\n", OWNER)
    ref = done["train"][0]
    lost = stages.claim(store, ref.kind, ref.key)
    key = names.incarnation_prefix(ref.kind, ref.key, lost) + "content/x"
    store.create(key, b"half")
    sweep = gc.find(store, set(), grace_s=-1)
    assert [e.key for e in sweep.found["left behind by attempts that did not win"]] == [key]


def test_gc_keeps_checkpoints_that_a_run_has_not_come_to_yet(store: Store, tmp_path: Path) -> None:
    done = commit_all(store, plan_of(), tmp_path, COUNTS, until="data")
    runs.create_run(store, plan_of(), b"name: demo\n", OWNER)
    train = finish(plan_of(), "train", done)
    store.create(names.checkpoint_commit("train", train.key, 7, 1), b"{}")
    file = names.checkpoint_prefix("train", train.key, 1, 7) + "rank-00000/state"
    store.create(file, b"whole")
    assert gc.find(store, set(), grace_s=-1).found == {}
    cut_off = names.checkpoint_prefix("train", train.key, 2, 7) + "rank-00000/state"
    store.create(cut_off, b"half")
    sweep = gc.find(store, set(), grace_s=-1)
    assert [e.key for e in sweep.found["left behind by attempts that did not win"]] == [cut_off]
    assert gc.find(store, set(), grace_s=60).found == {}, "it may be at work"


def test_gc_never_drops_a_run_that_is_going_on(store: Store) -> None:
    run_id = runs.create_run(store, plan_of(), b"name: demo\n", OWNER)
    with Lease(store, names.run_lease(run_id), what="controller"):
        with pytest.raises(BusyError, match=r"is controlled by pid .* nothing was deleted"):
            gc.find(store, {run_id}, grace_s=3600)
        assert gc.find(store, set(), grace_s=-1).found == {}
    assert gc.find(store, {run_id}, grace_s=-1).objects == 3


def test_gc_finishes_a_deletion_that_was_cut_off(store: Store) -> None:
    run_id = runs.create_run(store, plan_of(), b"name: demo\n", OWNER)
    store.delete(names.run_prefix(run_id) + names.PLAN_JSON)
    assert gc.find(store, set(), grace_s=3600).found == {}
    sweep = gc.find(store, set(), grace_s=-1)
    assert [e.key.rpartition("/")[2] for e in sweep.found["records of dropped runs"]] == [names.OWNER, names.RUN_YAML]


def test_gc_deletes_nothing_that_a_new_run_may_count_on(store: Store, tmp_path: Path) -> None:
    plan = plan_of()
    commit_all(store, plan, tmp_path, COUNTS)
    sweep = gc.find(store, set(), grace_s=-1)
    assert sweep.objects > 0
    runs.create_run(store, plan, b"name: demo\n", OWNER)
    with pytest.raises(ChangedError, match=r"run demo-.* began meanwhile"):
        list(gc.delete(store, sweep))
    assert set(committed(plan, store)) == {node.name for node in plan.stages}


def test_pull_is_verified_and_goes_on(store: Store, tmp_path: Path) -> None:
    plan = plan_of()
    done = commit_all(store, plan, tmp_path, COUNTS)
    target = tmp_path / "pulled"
    pull(committed(plan, store), store, "model", target)
    assert (target / "model.safetensors").read_bytes().startswith(b"content of")
    assert pull(committed(plan, store), store, "model", target)[0].path == "model.safetensors"
    ref = done["train"][0]
    path = store.local_path(names.incarnation_prefix(ref.kind, ref.key, 1) + "content/model/model.safetensors")
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(DamagedError, match=r"model\.safetensors"):
        pull(committed(plan, store), store, "model", tmp_path / "again")


def test_pull_replaces_nothing_of_another_result(store: Store, tmp_path: Path) -> None:
    first, second = plan_of(), plan_of(train={"learning_rate": 1e-3})
    for number, plan in enumerate((first, second)):
        commit_all(store, plan, tmp_path / str(number), COUNTS)
    target = tmp_path / "pulled"
    pull(committed(first, store), store, "model", target)
    (target / "notes.md").write_text("mine")
    before = (target / "model.safetensors").read_bytes()
    with pytest.raises(
        DataError, match=r"pulled: model\.safetensors is there with another content, .* delete it first"
    ):
        pull(committed(second, store), store, "model", target)
    assert (target / "model.safetensors").read_bytes() == before
    seen: list[int] = []
    (entry,) = pull(committed(first, store), store, "model", target, seen.append)
    assert sum(seen) == entry.size, "progress counts what is kept"


def test_pull_of_what_is_not_there(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stage train is not done; .* Done are: none"):
        pull({}, store, "model", tmp_path / "x")
    commit_all(store, plan_of(), tmp_path, COUNTS)
    with pytest.raises(DataError, match="the run has none: method full makes none"):
        pull(committed(plan_of(), store), store, "adapter", tmp_path / "x")


def write_run(folder: Path) -> Path:
    (folder / "model").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / "model" / name).write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "train.jsonl").write_text('{"text": "x", "label": "a"}\n' * 3)
    (folder / "held.jsonl").write_text('{"text": "y", "label": "b"}\n')
    spec = {
        "name": "demo",
        "model": "model",
        "store": "store",
        "prompt": {"input": "{{ text }}", "labels": {"a": "1", "b": "2"}, "output": {"format": "label"}},
        "data": {"tasks": {"t": {"path": "train.jsonl"}}, "held_out": {"path": "held.jsonl"}},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(spec))
    return folder / "run.yaml"


def test_a_pushed_run_has_the_same_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftjobs.plan.versions.installed", lambda: make_facts().versions)
    loaded = load(write_run(tmp_path))
    store = open_store(loaded.spec.store, loaded.folder)  # type: ignore[arg-type]
    facts = resolve(loaded.spec, loaded.folder, store, tmp_path / "cache.json")
    uris = push_inputs(loaded.spec, facts, store, say=lambda _: None)
    assert set(uris) == {"model", "task.t", "held_out"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.yaml").write_bytes(pushed_spec(loaded.spec, uris, store))
    again = load(elsewhere / "run.yaml")
    pushed = resolve(again.spec, again.folder, store)
    first, second = make(loaded.spec, facts), make(again.spec, pushed)
    assert [e.digest for e in facts.externals.values()] == [e.digest for e in pushed.externals.values()]
    assert first.stage("data").config == second.stage("data").config
    assert json.loads(json.dumps(uris))["model"].endswith("/model/")


def test_a_pushed_input_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftjobs.plan.versions.installed", lambda: make_facts().versions)
    loaded = load(write_run(tmp_path))
    store = open_store(loaded.spec.store, loaded.folder)  # type: ignore[arg-type]
    spec = loaded.spec.model_copy(
        update={"model": loaded.spec.model.model_copy(update={"path": f"store:{'0' * 64}/m/"})}  # type: ignore[union-attr]
    )
    with pytest.raises(DataError, match="push it again"):
        resolve(spec, loaded.folder, store)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", ""])
def test_a_pushed_input_stays_in_its_folder(store: Store, name: str) -> None:
    store.create(names.pushed_input("0" * 64), b"x")
    with pytest.raises(DataError, match="cannot name a file of an input"):
        pushed(f"store:{'0' * 64}/{name}", store)
    files = [FileEntry(path=f"{name}/x", size=1, sha256="0" * 64)]
    digest = artifact_digest(files)
    listing = readable([entry.model_dump() for entry in files])
    store.create(f"{names.pushed_input(digest)}.files.json", listing)
    with pytest.raises(DataError, match="cannot name a file of an input"):
        pushed(f"store:{digest}/folder/", store)
    with pytest.raises(DataError, match="64 hex digits"):
        pushed("store:../x", store)


def test_a_file_that_changes_while_it_is_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftjobs.plan.versions.installed", lambda: make_facts().versions)
    loaded = load(write_run(tmp_path))
    store = open_store(loaded.spec.store, loaded.folder)  # type: ignore[arg-type]
    facts = resolve(loaded.spec, loaded.folder, store)
    (tmp_path / "train.jsonl").write_text('{"text": "z", "label": "a"}\n' * 3)
    with pytest.raises(DataError, match=r"train\.jsonl: changed while it was pushed"):
        push_inputs(loaded.spec, facts, store, say=lambda _: None)
    assert not list(store.list(names.pushed_input(facts.externals["task.t"].digest)))


def test_the_digest_cache_notices_a_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftjobs.plan.versions.installed", lambda: make_facts().versions)
    loaded = load(write_run(tmp_path))
    store = open_store(loaded.spec.store, loaded.folder)  # type: ignore[arg-type]
    before = resolve(loaded.spec, loaded.folder, store, tmp_path / "cache.json").externals["task.t"].digest
    assert resolve(loaded.spec, loaded.folder, store, tmp_path / "cache.json").externals["task.t"].digest == before
    (tmp_path / "train.jsonl").write_text('{"text": "z", "label": "a"}\n' * 3)
    assert resolve(loaded.spec, loaded.folder, store, tmp_path / "cache.json").externals["task.t"].digest != before


def test_a_run_that_an_older_version_planned_keeps_its_results(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version computes other keys; what the report of the run names is still found, compared with and kept."""
    plan = plan_of()
    done = commit_all(store, plan, tmp_path, COUNTS)
    run_id = runs.create_run(store, plan, b"name: demo\n", OWNER)
    runs.begin_session(store, run_id, {}, [], 1.0)
    publish(store, plan, run_id)
    runs.write_verdict(store, run_id, 0, runs.Verdict(outcome="succeeded", finished=2.0))
    monkeypatch.setitem(configs.PROGRAM_VERSIONS, "train", 999)
    assert "train" not in committed(plan, store)
    assert {one.state for one in run_state(store, run_id).stages} == {"skipped"}, "done before the run: no attempts"
    assert {name: found.ref for name, found in done_in(store, run_id).items()} == {
        name: ref for name, (ref, _) in done.items()
    }
    assert {e.key for entries in gc.find(store, set(), grace_s=-1).found.values() for e in entries} == set()
    pull(done_in(store, run_id), store, "model", tmp_path / "pulled")
    assert previous_run(run_id, store, plan.facts).model  # type: ignore[union-attr] == done["train"][0]


def test_a_plan_of_another_form_is_no_obstacle(store: Store, tmp_path: Path) -> None:
    plan = plan_of()
    commit_all(store, plan, tmp_path, COUNTS)
    train = plan.stage("train")
    foreign = train.model_copy(update={"config": {"method": "lora"}})
    stages_ = [foreign if node.name == "train" else node for node in plan.stages]
    run_id = runs.create_run(store, plan.model_copy(update={"stages": stages_}), b"name: demo\n", OWNER)
    assert "data" in done_in(store, run_id) and "train" not in done_in(store, run_id)
