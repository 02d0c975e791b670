"""Attempts of a run's stages: an intent before the Job exists, a result after it has ended. Both are written once."""

from dataclasses import dataclass

from sftjobs import names
from sftjobs.attempts import Intent, Result
from sftjobs.canonical import readable
from sftjobs.store.base import Store


@dataclass(frozen=True)
class Attempt:
    """One attempt; it is open until it has a result."""

    intent: Intent
    result: Result | None = None

    @property
    def number(self) -> int:
        return self.intent.attempt


class AttemptReader:
    """Reads every record once: they are write-once, so only a listing is needed to see what is new."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._prefix = names.attempts_prefix(run_id)
        self._intents: dict[tuple[str, int], Intent] = {}
        self._results: dict[tuple[str, int], Result] = {}
        self._known: set[str] = set()

    def read(self) -> dict[str, list[Attempt]]:
        """Attempts by stage, in order. Raises StoreError."""
        for entry in self._store.list(self._prefix):
            if entry.key not in self._known:
                self._read(entry.key)
                self._known.add(entry.key)
        found: dict[str, list[Attempt]] = {}
        for (stage, number), intent in sorted(self._intents.items()):
            found.setdefault(stage, []).append(Attempt(intent, self._results.get((stage, number))))
        return found

    def _read(self, key: str) -> None:
        stage, file = key.removeprefix(self._prefix).split("/")
        number, kind = file.split(".")[:2]
        body = self._store.get(key).body
        if kind == "intent":
            self._intents[stage, int(number)] = Intent.model_validate_json(body)
        elif kind == "result":
            self._results[stage, int(number)] = Result.model_validate_json(body)


def read_attempts(store: Store, run_id: str) -> dict[str, list[Attempt]]:
    """Attempts by stage, in order."""
    return AttemptReader(store, run_id).read()


def write_intent(store: Store, intent: Intent) -> None:
    """Raises AlreadyExistsError if the number is taken by another intent."""
    key = names.intent(intent.run_id, intent.plan.stage, intent.attempt)
    store.create(key, readable(intent.model_dump(mode="json")))


def write_result(store: Store, run_id: str, stage: str, result: Result) -> None:
    """Raises AlreadyExistsError if another result is recorded."""
    store.create(names.result(run_id, stage, result.attempt), readable(result.model_dump(mode="json")))
