"""Dockerfiles and locks belong together; hadolint and the builds themselves judge the rest."""

import re
from pathlib import Path

import pytest

from hack.build_images import PARENTS, ROLES, ROOT
from sftjobs.spec.cluster import ImagesSpec, SecuritySpec

USER = SecuritySpec().user
DOCKERFILES = sorted((ROOT / "images").glob("*.Dockerfile"))
PIN = re.compile(r"([A-Za-z0-9_.-]+)(===?)([^=\s]+)")


def pins(name: str) -> dict[str, str]:
    """Normalised name -> version of one lock, without those below it."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").splitlines()
    found = {}
    for line in lines:
        if not line.startswith(("#", "-r ")):
            match = PIN.fullmatch(line)
            assert match, f"{name}.txt: {line!r} is not an exact version"
            found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[3]
    return found


def test_the_build_knows_every_dockerfile_and_its_parents() -> None:
    assert {path.name for path in DOCKERFILES} == {f"{image}.Dockerfile" for image in PARENTS}
    for path in DOCKERFILES:
        declared = set(re.findall(r"^ARG (\w+)", path.read_text("utf-8"), re.MULTILINE))
        assert {parent.upper() for parent in PARENTS[path.name.removesuffix(".Dockerfile")]} <= declared


def test_images_of_pods_are_those_of_cluster_yaml() -> None:
    assert all(role in ImagesSpec.model_fields for role in ROLES)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_user_is_numeric_and_nothing_follows_the_code(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == f"{USER}:{USER}"
    code = text.find("COPY sftjobs")
    assert code < 0 or "install" not in text[code:], (
        "what is installed after the code is installed again after a change"
    )


@pytest.mark.parametrize(("upper", "lower"), [("runtime", "core"), ("train", "core"), ("train", "runtime")])
def test_locks_do_not_repeat_each_other(upper: str, lower: str) -> None:
    assert pins(lower) and pins(upper)
    assert not pins(upper).keys() & pins(lower).keys()


def test_torch_for_gpus_is_the_same_release() -> None:
    cuda, runtime = pins("cuda"), pins("runtime")
    assert cuda.pop("torch").split("+")[0] == runtime["torch"]
    assert not cuda.keys() & (runtime.keys() | pins("core").keys())
    assert any(name.startswith("nvidia-") for name in cuda)
