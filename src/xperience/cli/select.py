"""`xperience select …`: which files."""

import hashlib
import json
from collections import Counter

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import UsageError
from xperience.common.files import write_atomic
from xperience.common.settings.selection import (
    SelectFromHubSettings,
    SelectFromRepoSettings,
    SelectionFileSettings,
    SelectionPackSettings,
    SelectionPinSettings,
)
from xperience.common.sizes import MIB, human_bytes
from xperience.hub.opening import open_hub
from xperience.selection.algorithm import Parameters, select
from xperience.selection.model import Selection
from xperience.selection.pin import pin, pin_file, select_repository
from xperience.selection.plan_file import pack, read_bytes, read_selection
from xperience.selection.write import csv_of, document_of, txt_of

PLAN_NAME = "xperience10m_{episodes}_episode_selection"

app = typer.Typer(no_args_is_help=True, help="Choose, read, check and pin what is moved.")


def _facts(selection: Selection) -> dict[str, object]:
    splits = Counter(episode.split for episode in selection.episodes)
    return {
        "repository": f"{selection.repo_type} {selection.repo_id}",
        "revision": selection.revision,
        "episodes": len(selection.episodes),
        "sessions": len({episode.session for episode in selection.episodes}),
        "train/val/test": "/".join(str(splits[split]) for split in ("train", "val", "test")),
        "files": len(selection.files),
        "bytes": f"{selection.size_bytes:,} ({human_bytes(selection.size_bytes)})",
        "pinned": "yes" if selection.pinned else "no: `xperience select pin` adds size and hash of every file",
        "known by sha256": selection.source_sha256,
    }


@command(app, "verify", SelectionFileSettings)
def verify(settings: SelectionFileSettings) -> None:
    """Read a selection, refuse what is wrong with it by name (65), and say what is in it."""
    selection = read_selection(settings.selection_json)
    facts = _facts(selection)
    if settings.json_output:
        print_json(facts | {"bytes": selection.size_bytes, "pinned": selection.pinned})
        return
    for name, value in facts.items():
        out.print(f"{name:20} {value}")


@command(app, "pack", SelectionPackSettings)
def pack_selection(settings: SelectionPackSettings) -> None:
    """Pack a selection (gzip and base64) for a ConfigMap: `helm install --set-file selection.packed=…`."""
    packed = pack(read_bytes(settings.selection_json))
    write_atomic(settings.output, packed)
    out.print(f"{len(packed):,} bytes in {settings.output}")


@command(app, "pin", SelectionPinSettings)
def pin_selection(settings: SelectionPinSettings) -> None:
    """Add size and hash of every file, as the hub has them at the selection's revision (one call)."""
    selection = read_selection(settings.selection_json)
    hub = open_hub(settings, selection.repo_id, selection.repo_type)
    identities = hub.identities([file.path for file in selection.files], selection.revision)
    pinned = pin_file(settings.selection_json, identities)
    pinned.write(settings.output)
    without_lfs = sum(file.sha256 is None for file in pinned.files)
    if settings.json_output:
        print_json({"output": str(settings.output), "files": len(pinned.files), "without_lfs": without_lfs})
    else:
        out.print(f"pinned {len(pinned.files)} files in {settings.output}; {without_lfs} of them without LFS hash")


@command(app, "from-hub", SelectFromHubSettings)
def from_hub(settings: SelectFromHubSettings) -> None:
    """Repeat the plan's selection on a listing; writes its JSON, CSV and TXT, and the pinned JSON."""
    parameters = Parameters(
        target_episodes=settings.target_episodes, seed=settings.seed, drop_percentile=settings.drop_percentile,
        least_annotation_bytes=int(settings.least_annotation_mib * MIB), train_fraction=settings.train_fraction,
        val_fraction=settings.val_fraction, test_fraction=settings.test_fraction,
    )  # fmt: skip
    parameters.check()
    hub = open_hub(settings, settings.repo_id, "dataset")
    revision = hub.resolve_revision(settings.revision)
    listing = hub.listing(revision)
    document = document_of(select(listing, parameters), parameters, repo_id=settings.repo_id, revision=revision)
    plan_json = json.dumps(document.model_dump(mode="json"), indent=2) + "\n"
    stem = PLAN_NAME.format(episodes=settings.target_episodes)
    identities = {identity.path: identity for identity in listing}
    pinned = pin(document, identities, source_sha256=hashlib.sha256(plan_json.encode()).hexdigest())
    for name, content in (
        (f"{stem}.json", plan_json),
        (f"{stem}.csv", csv_of(document)),
        (f"{stem.removesuffix('_selection')}_download_files.txt", txt_of(document)),
    ):
        write_atomic(settings.output / name, content)
    pinned.write(settings.output / f"{stem}_pinned.json")
    selection = pinned.selection()
    if settings.json_output:
        print_json({"output": str(settings.output), "files": len(selection.files), "bytes": selection.size_bytes})
        return
    print_table(
        f"{len(selection.episodes)} episodes, {human_bytes(selection.size_bytes)} in {settings.output}",
        ("band", "train", "val", "test"),
        [
            (band, *(document.selected_summary.split_band_counts.get(f"{split}/{band}", 0) for split in
                     ("train", "val", "test")))
            for band in document.selected_summary.size_band_counts
        ],
    )  # fmt: skip


@command(app, "from-repo", SelectFromRepoSettings)
def from_repo(settings: SelectFromRepoSettings) -> None:
    """Select files of any repository by patterns, pinned at one commit."""
    if not settings.repo_id:
        raise UsageError("no repository", where="--repo-id", fix="Give org/name.")
    hub = open_hub(settings, settings.repo_id, settings.repo_type)
    revision = hub.resolve_revision(settings.revision)
    found = select_repository(
        hub.listing(revision), repo_id=settings.repo_id, repo_type=settings.repo_type, revision=revision,
        include=settings.include, exclude=settings.exclude,
    )  # fmt: skip
    found.write(settings.output)
    size_bytes = sum(file.size_bytes for file in found.files)
    if settings.json_output:
        print_json({"output": str(settings.output), "files": len(found.files), "bytes": size_bytes})
    else:
        out.print(f"{len(found.files)} files, {human_bytes(size_bytes)} at {revision} in {settings.output}")
