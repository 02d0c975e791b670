"""The run itself: run.yaml, its store and its inputs. Without these there is nothing that the rest could look at."""

from sftjobs import runs
from sftjobs.errors import SftError, StoreConfigError, StoreError
from sftjobs.plan.facts import paths, resolve
from sftjobs.plan.make import make
from sftjobs.plan.types import RunPlan
from sftjobs.preflight.finding import Finding, failed, not_checked, ok
from sftjobs.release.owner import owner_of
from sftjobs.release.release import Release
from sftjobs.release.run_file import load_text, open_in_cluster
from sftjobs.spec.load import Loaded
from sftjobs.spec.places import STORE_SCHEME
from sftjobs.store.base import Store
from sftjobs.store.probe import probe

RUN, STORE, INPUTS = "run.yaml", "store", "inputs"


def check_run(release: Release) -> tuple[Finding, Loaded | None]:
    """run.yaml loads, and nothing in it is on somebody's machine."""
    try:
        loaded = load_text(release.run_text)
    except SftError as error:
        todo = "correct it, `helm uninstall` this release and install it again: a release is one run"
        return failed(RUN, str(error), todo), None
    return ok(RUN, f"tasks: {', '.join(loaded.spec.data.tasks)}"), loaded


def check_store(release: Release, loaded: Loaded) -> tuple[Finding, Store | None]:
    """Reached with the credentials of this release, writable, with conditional writes."""
    secret = release.cluster.secret
    try:
        store = open_in_cluster(loaded, release.cluster)
        probe(store)
    except StoreConfigError as error:
        todo = f"correct the store of run.yaml or cluster.yaml, the keys in Secret {secret}, or the rights of its user"
        return failed(STORE, str(error), todo), None
    except StoreError as error:
        todo = "check the endpoint in cluster.yaml (store.endpoint), the proxy, NetworkPolicies, and the server itself"
        return failed(STORE, str(error), todo), None
    return ok(STORE, f"{store.uri}: can be read and written, with conditional writes"), store


def check_inputs(release: Release, loaded: Loaded, store: Store) -> tuple[Finding, RunPlan | None]:
    """Every input is there, and a plan follows from it: the controller's, if it was faster."""
    try:
        plan = _recorded(release, store)
        if plan is not None:
            return ok(INPUTS, "found by the controller, which has planned the run"), plan
        large = [path for path in paths(loaded.spec).values() if not path.startswith(STORE_SCHEME)]
        if large:
            why = f"the controller has to read {', '.join(sorted(set(large)))} before the run is planned"
            return not_checked(INPUTS, why, "run `helm test` again in a few minutes"), None
        spec = loaded.spec.model_copy(update={"name": release.name})
        plan = make(spec, resolve(spec, loaded.folder, store))
    except SftError as error:
        return failed(INPUTS, str(error), "`sftjobs push run.yaml` brings local inputs into the store"), None
    return ok(INPUTS, f"{len(paths(loaded.spec))} found, {len(plan.stages)} stages follow"), plan


def _recorded(release: Release, store: Store) -> RunPlan | None:
    """The plan of this very run.yaml, if the controller has recorded it."""
    mine = owner_of(release.name, release.api.namespace)
    for record in reversed(runs.list_runs(store)):
        owner = record.owner
        is_mine = (owner.user, owner.host, owner.backend) == (mine.user, mine.host, mine.backend)
        if is_mine and runs.read_spec_text(store, record.run_id) == release.run_text:
            return runs.read_plan(store, record.run_id)
    return None
