"""What `--require-probe` asks for: a probe of this very selection that found every episode usable."""

from pathlib import Path

from xperience.common.errors import RefusedError
from xperience.common.verdicts import ProbeView
from xperience.selection.model import Selection

NAMED = 3


def check_probe(place: Path, selection: Selection) -> str:
    """What the probe found, in a line; RefusedError where it is missing, of something else, or names unusable episodes.

    BadDataError where the file is no probe, or was edited.
    """
    place = place.expanduser()
    again = f"Run `xperience prepare probe` on this selection, with --output {place}."
    if not place.is_file():
        raise RefusedError("the probe that is required is not there", where=str(place), fix=again)
    probe = ProbeView.read(place)
    for what, why in _differences(probe, selection):
        raise RefusedError(f"the probe is of another {what}", where=str(place), why=why, fix=again)
    judged = {episode.path: episode for episode in probe.episodes}
    lacking = [episode.path for episode in selection.episodes if episode.path not in judged]
    if lacking:
        raise RefusedError(
            f"the probe does not name {len(lacking)} of {len(selection.episodes)} episodes", where=str(place),
            why=_some(lacking), fix=again,
        )  # fmt: skip
    purposes = " and ".join(probe.purposes)
    unusable = [
        episode.path
        for episode in selection.episodes
        if not set(probe.purposes) <= set(judged[episode.path].verdict.usable_for)
    ]
    if unusable:
        raise RefusedError(
            f"{len(unusable)} of {len(selection.episodes)} episodes are not usable for {purposes}", where=str(place),
            why=_some(unusable),
            fix=f"Swap them with `xperience prepare replace --probe-json {place} --selection-output …`; probe and relay"
            " the new selection.",
        )  # fmt: skip
    return f"{len(selection.episodes)} episodes usable for {purposes}"


def _differences(probe: ProbeView, selection: Selection) -> list[tuple[str, str]]:
    """What the probe looked at instead. A selection is known by its own hash, or by that of the one it was pinned from.

    A selection that was made by swaps names its parent too: that its new episodes are not in the parent's probe tells.
    """
    mine = {selection.source_sha256, selection.parent_sha256} - {None}
    theirs = {probe.inputs[name] for name in ("selection", "selection_parent") if name in probe.inputs}
    found = []
    if probe.repo_id != selection.repo_id:
        found.append(("repository", f"{probe.repo_id}, not {selection.repo_id}"))
    if probe.revision != selection.revision:
        found.append(("revision", f"{probe.revision}, not {selection.revision}"))
    if not mine & theirs:
        was = probe.inputs.get("selection", "none")
        found.append(("selection", f"of {was[:12]}…, not {selection.source_sha256[:12]}…"))
    return found


def _some(paths: list[str]) -> str:
    rest = len(paths) - NAMED
    return ", ".join(paths[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
