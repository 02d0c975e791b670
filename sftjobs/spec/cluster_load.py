"""`load_cluster`: cluster.yaml -> ClusterSpec, or one SpecError with everything that is wrong with it."""

from pathlib import Path

from sftjobs.errors import Problem, SpecError
from sftjobs.spec.cluster import ClusterSpec
from sftjobs.spec.paths import read_text_file
from sftjobs.spec.salvage import Salvage
from sftjobs.spec.source import Source
from sftjobs.spec.yaml_tree import parse

_WAY_OUT = "examples/cluster/cluster.yaml is one to start from, docs/cluster-yaml.md explains every field"


def load_cluster(path: Path) -> ClusterSpec:
    """Read and check a cluster.yaml. Raises SpecError with all problems."""
    tree = parse(read_text_file(path, str(path), _WAY_OUT), str(path))
    source = Source(str(path), tree.lines)
    salvage = Salvage()
    salvage.problems += tree.problems
    raw = {} if tree.value is None else tree.value
    if not isinstance(raw, dict):
        raise SpecError([Problem(str(path), None, "", f"the file is not a mapping of `key: value` lines; {_WAY_OUT}")])
    spec = salvage.validate(ClusterSpec, raw, source)
    problems = [*salvage.problems, *([] if spec is None else cluster_problems(spec, source))]
    if problems or spec is None:
        raise SpecError(sorted(problems, key=lambda problem: problem.line or 0))
    return spec


def cluster_problems(spec: ClusterSpec, source: Source) -> list[Problem]:
    """What the types cannot say."""
    found: list[Problem] = []
    cache, hook = spec.node_cache, spec.webhook
    if cache is not None and (cache.host_path is None) == (cache.claim is None):
        found.append(source.problem(("node_cache",), "give exactly one of host_path and claim"))
    if hook.url is not None and hook.url_from is not None:
        found.append(source.problem(("webhook",), "give url or url_from, not both"))
    if spec.gpu is not None and spec.gpu.kind() is None:
        near = "give gpu.memory_gib, or a name of docs/advice.md"
        found.append(source.problem(("gpu",), f"the memory of {spec.gpu.name or 'the GPUs'} is not known; {near}"))
    if spec.queue is None and spec.queue_priority is not None:
        found.append(source.problem(("queue_priority",), "means nothing without queue"))
    return found
