"""The trainings of this tier, run once: the ranks of one world size do all their cases in the same processes."""

from typing import TypeGuard

import pytest

from tests.support import dist_program, dist_resume
from tests.support.dist_cases import CHOSEN, Trained, World, train_all


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def done(request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """All but those that go on from a checkpoint; of the slow ones those that a test asks for."""
    asked = [item.callspec.params["variant"] for item in request.session.items if _is_parity(item)]
    more = {2: dist_resume.cases(world, 2) | dist_program.cases(world), 4: dist_resume.cases(world, 4)}
    return train_all(world, tmp_path_factory.mktemp("done"), more, list(dict.fromkeys([*CHOSEN, *asked])))


def _is_parity(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and item.path.stem == "test_parity" and hasattr(item, "callspec")
