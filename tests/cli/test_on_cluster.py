"""Verbs that know of clusters, as far as they go without one: what they refuse, and what they print."""

import os
from pathlib import Path

import pytest
import yaml

from sftjobs import runs
from sftjobs.names import Exit
from sftjobs.plan.make import make
from sftjobs.release.owner import owner_of
from sftjobs.store.folder import FolderStore
from tests.support.cli_run import RUN, CliRun
from tests.support.seaweed import ACCESS_KEY, SECRET_KEY, free_ports
from tests.support.specs import make_facts, make_spec

KEYS = {"KEY": ACCESS_KEY, "SECRET": SECRET_KEY}
PUSHED = """\
name: tickets
model: s3://bucket/model
store: {uri: 's3://bucket/x', access_key: {env: KEY}, secret_key: {env: SECRET}}
prompt:
  input: "Ticket: {{ text }}"
  labels: {payment: about money, delivery: about parcels}
  output: {format: label}
data:
  tasks:
    tickets: {path: s3://bucket/train.jsonl}
  held_out: {path: s3://bucket/held_out.jsonl}
"""
ON_CLUSTER = ("--backend", "kubernetes", "--cluster", "cluster.yaml")


@pytest.fixture
def helm(tmp_path: Path) -> str:
    """PATH with a program called helm; these tests end before it would be called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "helm").write_text("#!/bin/sh\nexit 99\n")
    (folder / "helm").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def pushed(sft: CliRun) -> CliRun:
    sft.write("run.yaml", PUSHED)
    sft.write("cluster.yaml", "queue: team\n")
    return sft


def kubeconfig(path: Path, server: str) -> str:
    """A kubeconfig with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return str(path)


def test_a_backend_needs_its_options_and_no_others(sft: CliRun) -> None:
    said = sft("run", "--backend", "kubernetes")
    assert (said.code, "--backend kubernetes needs --cluster FILE" in said.err) == (Exit.BAD_CONFIG, True)
    said = sft("run", "--namespace", "team")
    assert said.code == Exit.BAD_CONFIG
    assert "--namespace means nothing to processes on this machine; add --backend kubernetes" in said.err


def test_local_paths_are_refused_all_at_once(sft: CliRun, helm: str) -> None:
    sft.write("run.yaml", PUSHED.replace("s3://bucket/train", "train").replace("s3://bucket/held", "held"))
    said = sft("run", *ON_CLUSTER, PATH=helm)
    assert said.code == Exit.BAD_CONFIG
    assert "2 problems" in said.err
    assert "data.tasks.tickets.path: 'train.jsonl' is a path of one machine; `sftjobs push run.yaml`" in said.err
    assert "data.held_out.path: 'held_out.jsonl' is a path of one machine" in said.err


def test_mistakes_in_cluster_yaml_have_lines(pushed: CliRun, helm: str) -> None:
    pushed.write("cluster.yaml", "queue: team\nqueu_priority: high\n")
    said = pushed("run", *ON_CLUSTER, PATH=helm)
    assert said.code == Exit.BAD_CONFIG
    assert "cluster.yaml:2: queu_priority: unknown key, did you mean queue_priority?" in said.err


def test_without_helm(pushed: CliRun, tmp_path: Path) -> None:
    said = pushed("run", *ON_CLUSTER, PATH=str(tmp_path))
    assert said.code == Exit.BAD_CONFIG
    assert "there is no helm in PATH, and the chart is installed by it; install Helm 3.17 or 4" in said.err


def test_without_a_cluster(pushed: CliRun, helm: str, tmp_path: Path) -> None:
    said = pushed("run", *ON_CLUSTER, PATH=helm, KUBECONFIG=str(tmp_path / "none"), **KEYS)
    assert said.code == Exit.BAD_CONFIG
    assert "set KUBECONFIG or give --context" in said.err
    known = kubeconfig(tmp_path / "kube", f"http://127.0.0.1:{free_ports(1)[0]}")
    said = pushed("run", *ON_CLUSTER, "--context", "there", PATH=helm, KUBECONFIG=known, **KEYS)
    assert said.code == Exit.BAD_CONFIG
    assert "the kubeconfig has no context 'there'; it has: here" in said.err


def test_plan_prints_jobs_as_the_cluster_wants_them(pushed: CliRun) -> None:
    pushed.write("run.yaml", RUN)
    pushed.write("cluster.yaml", "queue: team\nimages: {train: registry.example.org/train:1}\nlabels: {team: nlp}\n")
    said = pushed("plan", "-o", "yaml", "--cluster", "cluster.yaml", "--namespace", "nlp")
    assert said.code == 0, said.text
    jobs = {job["metadata"]["labels"]["sftjobs.dev/stage"]: job for job in yaml.safe_load_all(said.out)}
    train = jobs["train"]
    assert train["metadata"]["namespace"] == "nlp"
    assert train["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert train["spec"]["suspend"] is True
    pod = train["spec"]["template"]
    assert pod["metadata"]["labels"]["team"] == "nlp"
    assert pod["spec"]["containers"][0]["image"] == "registry.example.org/train:1"
    plain = next(yaml.safe_load_all(pushed("plan", "-o", "yaml").out))
    assert "suspend" not in plain["spec"]
    assert pushed("plan", "--cluster", "cluster.yaml").code == Exit.BAD_CONFIG


@pytest.fixture
def recorded(sft: CliRun) -> str:
    """Id of a run that a release has recorded in the folder's store."""
    store = FolderStore(sft.folder / ".sftjobs")
    spec = make_spec()
    return runs.create_run(store, make(spec, make_facts()), b"name: demo\n", owner_of("demo", "team"))


def test_resume_of_a_release_tells_its_ways(sft: CliRun, recorded: str) -> None:
    said = sft("resume", recorded)
    assert said.code == Exit.BAD_CONFIG
    assert f"run {recorded} is release demo in namespace team" in said.err
    assert "`helm upgrade demo CHART -n team --reuse-values --set controller.again=N`" in said.err
    assert f"`sftjobs resume {recorded} --cluster cluster.yaml` is the controller itself" in said.err


def test_cancel_of_a_release_without_a_controller(sft: CliRun, recorded: str) -> None:
    said = sft("cancel", recorded)
    assert said.code == 0
    assert f"`sftjobs resume {recorded} --cluster cluster.yaml` carries it out" in said.out
    assert "`helm uninstall demo -n team` takes its jobs away" in said.out
    assert runs.is_cancelled(FolderStore(sft.folder / ".sftjobs"), recorded, 0)


def test_resume_of_processes_has_no_cluster(sft: CliRun) -> None:
    store, spec = FolderStore(sft.folder / ".sftjobs"), make_spec()
    owner = runs.Owner(user="u", host="h", backend="process", run="demo", created=1.0)
    run_id = runs.create_run(store, make(spec, make_facts()), b"name: demo\n", owner)
    sft.write("cluster.yaml", "")
    said = sft("resume", run_id, "--cluster", "cluster.yaml")
    assert said.code == Exit.BAD_CONFIG
    assert f"run {run_id} is one of processes on h" in said.err
