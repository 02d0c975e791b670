"""What the Job tells the agent: environment variables, and the stage plan that the intent in the store holds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from sftjobs import names
from sftjobs.attempts import Intent
from sftjobs.canonical import sha256
from sftjobs.errors import DataError, NotFoundError
from sftjobs.plan.types import StagePlan
from sftjobs.spec.run import StoreSpec
from sftjobs.store.base import Store


@dataclass(frozen=True)
class AgentEnvironment:
    """The agent's part of the environment, parsed."""

    store: StoreSpec
    run_id: str
    stage: str
    attempt: int
    node_rank: int
    workdir: Path
    termination_log: Path
    leader: tuple[str, int] = ("127.0.0.1", 0)
    """Where the agent of node 0 listens, if there are several nodes."""
    nonce: str = ""
    """SHA-256 of the attempt's intent; the agents of a group know each other by it."""

    @property
    def what(self) -> str:
        """How this agent is called in a LEASE."""
        return f"agent of {self.stage}, attempt {self.attempt}"


def read_environment(environ: Mapping[str, str]) -> AgentEnvironment:
    """Raises DataError that names every variable that is missing or wrong."""
    needed = (names.ENV_STORE, names.ENV_RUN_ID, names.ENV_STAGE, names.ENV_ATTEMPT, names.ENV_WORKDIR)
    missing = [name for name in needed if not environ.get(name)]
    if missing:
        raise DataError(
            f"the agent needs {', '.join(missing)} in its environment; "
            "it is started by a Job of `sftjobs run`, docs/program-contract.md shows how to start it by hand"
        )
    try:
        store = StoreSpec.model_validate_json(environ[names.ENV_STORE])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{names.ENV_STORE}: {place}: {first['msg']}; it must be the store as JSON") from None
    return AgentEnvironment(
        store=store,
        run_id=environ[names.ENV_RUN_ID],
        stage=environ[names.ENV_STAGE],
        attempt=_number(environ, names.ENV_ATTEMPT),
        node_rank=_number(environ, names.ENV_NODE_RANK) if names.ENV_NODE_RANK in environ else 0,
        workdir=Path(environ[names.ENV_WORKDIR]).absolute(),
        termination_log=termination_log(environ),
        leader=_leader(environ),
    )


def _leader(environ: Mapping[str, str]) -> tuple[str, int]:
    text = environ.get(names.ENV_LEADER, "127.0.0.1:0")
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise DataError(f"{names.ENV_LEADER}: {text!r} is not host:port")
    return host, int(port)


def _number(environ: Mapping[str, str], name: str) -> int:
    if not environ[name].isdecimal():
        raise DataError(f"{name}: {environ[name]!r} is not a number from 0")
    return int(environ[name])


def termination_log(environ: Mapping[str, str]) -> Path:
    """Where the last word goes; known even if the rest of the environment is wrong."""
    return Path(environ.get(names.ENV_TERMINATION_LOG) or names.TERMINATION_LOG)


def read_plan(store: Store, environment: AgentEnvironment) -> tuple[AgentEnvironment, StagePlan]:
    """The stage plan of this attempt, and the environment with the attempt's nonce.

    Raises DataError if the controller has not recorded the attempt, or if this node is none of the plan's.
    """
    name = names.intent(environment.run_id, environment.stage, environment.attempt)
    try:
        body = store.get(name).body
    except NotFoundError:
        raise DataError(f"{store.uri}/{name} does not exist: no controller has planned this attempt") from None
    try:
        plan = Intent.model_validate_json(body).plan
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{store.uri}/{name}: {place}: {first['msg']}; was it written by a newer version of sftjobs?"
        ) from None
    nodes = plan.resources.nodes
    if environment.node_rank >= nodes:
        raise DataError(f"{names.ENV_NODE_RANK}: {environment.node_rank}, but the plan has {nodes} node(s)")
    if nodes > 1 and environment.leader[1] == 0:
        raise DataError(f"{names.ENV_LEADER} is not set, and the plan has {nodes} nodes: write host:port of node 0")
    return replace(environment, nonce=sha256(body)), plan


def known_secrets(plan: StagePlan | None, store: StoreSpec, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Values that must never appear in a log: those that run and cluster name, and the usual ones of the libraries."""
    variables = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    variables |= set(environ.get(names.ENV_SECRETS, "").split(","))
    variables |= {item.env for item in (store.access_key, store.secret_key) if item is not None}
    if plan is not None:
        variables |= set(plan.operation.secrets.values())
    return sorted({environ[name] for name in variables if environ.get(name)})
