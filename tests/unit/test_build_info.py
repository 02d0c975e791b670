"""Build info: what planning and the agent believe inside an image."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sftjobs import __version__, build_info, names
from sftjobs.agent.image import check_image
from sftjobs.errors import DataError
from sftjobs.plan import versions
from sftjobs.plan.configs import LIBRARIES, PROGRAM_VERSIONS
from sftjobs.plan.types import StagePlan
from tests.support.chains import stage_plan

NEEDED = sorted({library for libraries in LIBRARIES.values() for library in libraries})
DIGEST = "ab" * 32


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Build info in the environment, as in an image; returns its content."""
    info = {
        "version": __version__,
        "revision": "f" * 40,
        "variant": "cpu",
        "base": "debian",
        "source_digest": DIGEST,
        "libraries": dict.fromkeys(NEEDED, "7.0"),
    }
    path = tmp_path / "build-info.json"
    path.write_text(json.dumps(info), encoding="utf-8")
    monkeypatch.setenv(names.ENV_BUILD_INFO, str(path))
    return info


def planned(**program: Any) -> StagePlan:
    """A finished data stage, planned with this program."""
    return stage_plan("a").model_copy(update={"key_json": {"program": program}})


def test_in_an_image_planning_takes_versions_and_source_from_the_build_info(image: dict[str, Any]) -> None:
    assert versions.installed() == image["libraries"]
    assert versions.source_digest() == DIGEST


def test_outside_an_image_planning_asks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.ENV_BUILD_INFO, raising=False)
    assert build_info.read() is None
    assert versions.installed() == {name: metadata.version(name) for name in NEEDED}


@pytest.mark.parametrize("content", [None, "", "{}", '{"version": "1"}', "[1"])
def test_build_info_that_cannot_be_read_is_an_error_that_names_variable_and_file(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "info.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=f"{names.ENV_BUILD_INFO}: {path}: not the build info of an image"):
        build_info.read({names.ENV_BUILD_INFO: str(path)})


def test_a_build_collects_what_lower_images_left(tmp_path: Path) -> None:
    (tmp_path / "base").write_text("registry.example.org/debian:12\n", encoding="utf-8")
    packages = {**dict.fromkeys(NEEDED, "3.1"), "other": "1"}
    (tmp_path / "torch.json").write_text(json.dumps({"variant": "cuda 13.0", "packages": packages}), encoding="utf-8")
    info = build_info.collect(tmp_path, {"REVISION": "abc-dirty", "SOURCE_DIGEST": ""})
    assert info.model_dump() == {
        "version": __version__,
        "revision": "abc-dirty",
        "variant": "cuda 13.0",
        "base": "registry.example.org/debian:12",
        "source_digest": None,
        "libraries": dict.fromkeys(NEEDED, "3.1"),
    }


def test_an_image_runs_what_was_planned_for_it(image: dict[str, Any]) -> None:
    here = {"pydantic": metadata.version("pydantic")}
    check_image(planned(libraries=here, version=PROGRAM_VERSIONS["data"], source=DIGEST))
    check_image(planned(libraries={}))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ({"libraries": {"pydantic": "1.0"}}, f"pydantic 1.0, this image has {metadata.version('pydantic')}"),
        ({"libraries": {"no-such-library": "1.0"}}, "no-such-library 1.0, this image has none"),
        ({"source": None}, "the stage programs of a commit, this image has stage programs with changes (abababababab)"),
        ({"version": 99}, f"version 99 of the data program, this image has version {PROGRAM_VERSIONS['data']}"),
    ],
)
def test_an_image_refuses_what_was_planned_for_another(
    image: dict[str, Any], program: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError) as error:
        check_image(planned(**program))
    text = str(error.value)
    assert said in text and f"sftjobs {__version__}, commit {'f' * 40}" in text and "make images" in text


def test_outside_an_image_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.ENV_BUILD_INFO, raising=False)
    check_image(planned(libraries={"pydantic": "1.0"}, source="x", version=99))
