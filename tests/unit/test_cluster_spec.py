"""cluster.yaml: what a person sees who has written something wrong."""

from pathlib import Path

import pytest

from sftjobs.errors import SpecError
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.cluster_load import load_cluster


def messages(folder: Path, text: str) -> list[str]:
    path = folder / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        load_cluster(path)
    except SpecError as error:
        return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    return []


GOOD = """\
images: {train: "registry.example.org/sft/train:1", pull_secrets: [registry]}
store: {endpoint: "http://s3.svc:9000", access_key: {env: KEY}, secret_key: {env: SECRET}}
queue: team-a
queue_priority: high
pods:
  all: {tolerations: [{key: batch, operator: Exists}]}
  train: {node_selector: {pool: h100}, env: {NCCL_DEBUG: INFO}}
labels: {team: nlp}
node_cache: {host_path: /var/cache/sftjobs}
gpu_hours: 40
webhook: {url: "https://hooks.example.org/x"}
"""


def test_a_good_one(tmp_path: Path) -> None:
    assert messages(tmp_path, GOOD) == []
    spec = load_cluster(tmp_path / "cluster.yaml")
    assert (spec.queue, spec.pods.train.node_selector, spec.gpu_hours) == ("team-a", {"pool": "h100"}, 40)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
def test_everything_has_a_default(tmp_path: Path, text: str) -> None:
    assert messages(tmp_path, text) == []
    assert load_cluster(tmp_path / "cluster.yaml") == ClusterSpec()


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("\nquue: team-a\n", "cluster.yaml:2: quue: ", "queue"),
        ("images:\n  trian: x\n", "cluster.yaml:2: images.trian: ", "train"),
        ("pods:\n  training: {}\n", "cluster.yaml:2: pods.training: ", "train"),
        ("store:\n  secret: x\n", "cluster.yaml:2: store.secret: ", "secret_key"),
        ("queue: Team A\n", "cluster.yaml:1: queue: ", "'Team A' cannot be used here; expected a name of a Kuber"),
        ("images: {train: 'a b'}\n", "cluster.yaml:1: images.train: ", "an image, such as registry.example.org/"),
        ("images: {pull_policy: never}\n", "cluster.yaml:1: images.pull_policy: ", "Never"),
        ("gpu_hours: 0\n", "cluster.yaml:1: gpu_hours: ", "0"),
        ("gpu_hours: many\n", "cluster.yaml:1: gpu_hours: ", "many"),
        ("image_patience_s: 5\n", "cluster.yaml:1: image_patience_s: ", "10"),
        ("controller: {memory: lots}\n", "cluster.yaml:1: controller.memory: ", "such as 500m or 256Mi"),
        ("labels: {team: 'a b'}\n", "cluster.yaml:1: labels.team: ", "a value of a label"),
        ("labels: {'a b': x}\n", "cluster.yaml:1: labels.a b: ", "'a b' cannot be a name here"),
        ("pods: {all: {env: {A-B: x}}}\n", "cluster.yaml:1: pods.all.env.A-B: ", "'A-B' cannot be a name here"),
        ("security: {user: 0}\n", "cluster.yaml:1: security.user: ", "1"),
        ("network_policy: {egress: {cidrs: []}}\n", "cluster.yaml:1: network_policy.egress.cidrs: ", ""),
        (
            "network_policy: {egress: {cidrs: [10.0.0.1]}}\n",
            "cluster.yaml:1: network_policy.egress.cidrs",
            "10.0.0.0/8",
        ),
        ("node_cache: {}\n", "cluster.yaml:1: node_cache: ", "exactly one of host_path and claim"),
        ("node_cache: {host_path: /a, claim: b}\n", "cluster.yaml:1: node_cache: ", "exactly one"),
        ("webhook: {url: hooks.example.org/x}\n", "cluster.yaml:1: webhook.url: ", "begins with http:// or https://"),
        ("store: {endpoint: 's3.svc:9000'}\n", "cluster.yaml:1: store.endpoint: ", "begins with http:// or https://"),
        ("webhook: {url: 'http://x', url_from: {env: X}}\n", "cluster.yaml:1: webhook: ", "not both"),
        ("queue_priority: high\n", "cluster.yaml:1: queue_priority: ", "without queue"),
        ("store: {access_key: AKIA123}\n", "cluster.yaml:1: store.access_key: ", "env"),
    ],
)
def test_one_mistake(tmp_path: Path, text: str, place: str, words: str) -> None:
    (found,) = messages(tmp_path, text)
    assert found.startswith(place)
    assert words in found[len(place) :]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    found = messages(tmp_path, "quue: a\ngpu_hours: -1\nnode_cache: {}\nimages: {evla: x}\n")
    assert [line.partition(": ")[0] for line in found] == [f"cluster.yaml:{n}" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("text", ["- a list\n", "just words\n", "42\n"])
def test_no_mapping(tmp_path: Path, text: str) -> None:
    (found,) = messages(tmp_path, text)
    assert "not a mapping" in found
    assert "examples/cluster/cluster.yaml" in found


def test_no_yaml_and_no_file(tmp_path: Path) -> None:
    (found,) = messages(tmp_path, "queue: [\n")
    assert found.startswith("cluster.yaml:")
    with pytest.raises(SpecError, match=r"none\.yaml"):
        load_cluster(tmp_path / "none.yaml")


def test_gpus_are_known_by_name_or_described(tmp_path: Path) -> None:
    assert messages(tmp_path, "gpu: {name: H100, per_node: 4, price_per_hour: 2.5}\n") == []
    assert messages(tmp_path, "gpu: {name: MI300X, memory_gib: 192}\n") == []
    unknown = "the memory of MI300X is not known; give gpu.memory_gib, or a name of docs/advice.md"
    assert messages(tmp_path, "gpu: {name: MI300X}\n") == [f"cluster.yaml:1: gpu: {unknown}"]
    assert "the memory of the GPUs is not known" in messages(tmp_path, "gpu: {per_node: 4}\n")[0]
