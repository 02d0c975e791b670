"""Why a stage runs again: compare its key with the nearest one in the store."""

import contextlib
import json
import re
from dataclasses import dataclass
from typing import Any

from sftjobs import names
from sftjobs.artifact import stages
from sftjobs.errors import DamagedError
from sftjobs.plan.committed import committed
from sftjobs.plan.finish import finish, ready
from sftjobs.plan.key import differences
from sftjobs.plan.types import Kind, RunPlan, StagePlan
from sftjobs.store.base import Store

MANY = 4
"""Fields that a line for people names at most."""
SHORT_DIGEST = 12
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Explanation:
    """What the cache says about one stage."""

    stage: str
    cached: bool
    waits_for: list[str]
    """Stages without which its key cannot be known."""
    nearest: str | None
    """Key of the most similar committed stage of the same program; None if there is none."""
    changed: list[tuple[str, Any, Any]]
    """(field, value there, value here) against `nearest`."""
    nearest_run: str | None = None
    """The run that made `nearest`; None if it is not known, or not committed."""
    nearest_stage: str | None = None
    """Its stage there."""

    @property
    def text(self) -> str:
        """One line for people."""
        if self.cached:
            return "cached"
        if self.waits_for:
            return f"runs after {', '.join(self.waits_for)}; its key depends on what comes out"
        if self.nearest is None:
            return "runs: no stage of this kind in the store yet"
        if not self.changed:
            return "runs: it was started before and not finished"
        shown = [f"{field}: {_short(old)} -> {_short(new)}" for field, old, new in self.changed[:MANY]]
        more = len(self.changed) - len(shown)
        if more:
            shown.append(f"and {more} more (`sftjobs explain -o json` has them)")
        return f"runs, compared with {self._there()}: {'; '.join(shown)}"

    def _there(self) -> str:
        if self.nearest_run is not None:
            return f"{self.nearest_stage} of {self.nearest_run}"
        return (self.nearest or "")[:SHORT_DIGEST]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = _DIGEST.sub(lambda found: found[0][:SHORT_DIGEST], text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain(plan: RunPlan, store: Store) -> list[Explanation]:
    """One explanation per stage, in plan order."""
    done = committed(plan, store)
    inputs = {name: (item.ref, item.manifest) for name, item in done.items()}
    found = []
    for node in plan.stages:
        if node.name in done:
            found.append(Explanation(node.name, True, [], done[node.name].plan.key, []))
        elif not ready(node, inputs):
            missing = sorted({item.stage for item in node.inputs.values() if item.stage and item.stage not in done})
            found.append(Explanation(node.name, False, missing, None, []))
        else:
            found.append(_against_nearest(finish(plan, node.name, inputs), store))
    return found


def _against_nearest(wanted: StagePlan, store: Store) -> Explanation:
    """The stage key in the store that differs in the fewest fields; committed ones are preferred."""
    best: tuple[int, int, str, list[tuple[str, Any, Any]]] | None = None
    folder = f"{names.STAGES}{wanted.kind}/"
    for key in store.list_folders(folder):
        present = {entry.key.removeprefix(f"{folder}{key}/") for entry in store.list(f"{folder}{key}/")}
        if names.KEY_JSON not in present:
            continue
        other = json.loads(store.get(f"{folder}{key}/{names.KEY_JSON}").body)
        if other.get("program", {}).get("module") != wanted.program:
            continue
        changed = differences(other, wanted.key_json)
        rank = (len(changed), 0 if names.COMMIT in present else 1, key, changed)
        if best is None or rank[:3] < best[:3]:
            best = rank
    if best is None:
        return Explanation(wanted.stage, False, [], None, [])
    return Explanation(wanted.stage, False, [], best[2], best[3], *_maker(store, wanted.kind, best[2]))


def _maker(store: Store, kind: Kind, key: str) -> tuple[str | None, str | None]:
    """Run and stage that committed a result, as far as its manifest knows them."""
    with contextlib.suppress(DamagedError):
        commit = stages.read_commit(store, kind, key)
        if commit is not None:
            facts = stages.read_manifest(store, kind, key, commit).facts
            return facts.get("run_id"), facts.get("stage")
    return None, None
