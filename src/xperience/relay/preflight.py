"""Preflight: everything that would stop the job later, looked at before it starts."""

from collections.abc import Callable, Iterator

from xperience.common.checks import Check
from xperience.common.errors import BadDataError, NoSpaceError, XperienceError
from xperience.common.settings.relay import RelayRunSettings
from xperience.common.sizes import GIB, human_bytes
from xperience.hub.client import Hub
from xperience.relay.plan import check_scratch
from xperience.relay.required_probe import check_probe
from xperience.relay.run import configured_budget_bytes
from xperience.relay.scratch import Scratch
from xperience.selection.model import Selection
from xperience.store.base import Store

# The file that the plan polls for access.
PLAN_REPOSITORY = "ropedia-ai/xperience-10m"
PLAN_PROBE = "003dcaf0-edba-4787-ada0-187d2748f684/ep1/fisheye_cam0.mp4"


def hub_checks(hub: Hub, selection: Selection) -> Iterator[Check]:
    """Token, gate, revision, and every path with its size at that revision."""
    probe = PLAN_PROBE if selection.repo_id == PLAN_REPOSITORY else selection.files[0].path
    yield _check("hub token", lambda: f"valid, user {hub.check_token()}")
    yield _check("revision", lambda: hub.resolve_revision(selection.revision))
    yield _check("gate", lambda: _approved(hub, selection.revision, probe))
    yield _check("selected files", lambda: _compare(hub, selection))


def probe_check(settings: RelayRunSettings, selection: Selection) -> Iterator[Check]:
    """The probe that is required, where one is."""
    place = settings.require_probe
    if place is not None:
        yield _check("probe", lambda: check_probe(place, selection))


def scratch_check(settings: RelayRunSettings, selection: Selection) -> Check:
    """Room for one batch (the budget) plus headroom, and a budget under which the run can end."""

    def look() -> str:
        scratch = Scratch(settings.relay_root.expanduser().absolute())
        configured = configured_budget_bytes(settings)
        needed = min(configured, selection.size_bytes)
        budget = scratch.budget_bytes(configured, int(settings.headroom_gib * GIB))
        if budget < needed:
            raise NoSpaceError(
                "scratch has no room for one batch plus headroom", where=str(scratch.root),
                why=f"{human_bytes(scratch.free_bytes())} free, {human_bytes(needed)} + "
                f"{settings.headroom_gib} GiB needed",
                fix="Free space, or lower --scratch-budget-gib (the relay works with little more than two files).",
            )  # fmt: skip
        check_scratch(selection, budget, delete_after_transfer=settings.delete_after_transfer)
        return f"{human_bytes(scratch.free_bytes())} free, budget {human_bytes(budget)}"

    return _check("scratch", look)


def store_checks(settings: RelayRunSettings, selection: Selection, store: Store) -> Iterator[Check]:
    """The store's own checks, with the space for what is not there yet."""
    reserve_bytes = int(settings.store_reserve_gib * GIB)
    yield from store.checks(selection.size_bytes + reserve_bytes)


def _compare(hub: Hub, selection: Selection) -> str:
    identities = hub.identities([file.path for file in selection.files], selection.revision)
    missing = [file.path for file in selection.files if file.path not in identities]
    if missing:
        raise BadDataError(
            "files are not at the hub", where=missing[0], why=f"{len(missing)} of {len(selection.files)}"
        )
    for file in selection.files:
        found = identities[file.path].size_bytes
        if file.size_bytes is not None and found != file.size_bytes:
            raise BadDataError("size at the hub differs", where=file.path, why=f"{found}, selected {file.size_bytes}")
    for episode in selection.episodes:
        found = sum(identities[path].size_bytes for path in episode.files)
        if found != episode.size_bytes:
            raise BadDataError(
                "size at the hub differs", where=episode.path, why=f"{found} bytes, selected {episode.size_bytes}"
            )
    return f"{len(identities)} files, {human_bytes(sum(item.size_bytes for item in identities.values()))}, sizes equal"


def _approved(hub: Hub, revision: str, probe: str) -> str:
    hub.check_access(revision, probe)
    return f"approved: {probe} answers"


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except XperienceError as error:
        return Check.failed(name, error)
