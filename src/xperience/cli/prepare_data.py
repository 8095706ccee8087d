"""`xperience prepare discover | manifest`."""

from pathlib import Path

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import BadDataError, UsageError
from xperience.common.evidence import artefact_in
from xperience.common.files import write_atomic
from xperience.common.settings.prepare import PrepareDiscoverSettings, PrepareManifestSettings
from xperience.common.sizes import human_bytes
from xperience.common.verdicts import CheckView, ProbeView
from xperience.hub.modelscope import modelscope_listing
from xperience.hub.opening import open_hub
from xperience.prepare.data_root import DataRoot, look_at
from xperience.prepare.discover import Sizes, listing_sizes, markdown, remote, skipped
from xperience.prepare.discover import discover as discover_sources
from xperience.prepare.manifest import EpisodeManifest, build_manifest
from xperience.prepare.planned import Sources, planned_episodes, planned_of_selection, read_transfer
from xperience.prepare.splits import Fractions
from xperience.prepare.verdicts import read_verdicts
from xperience.selection.plan_file import read_selection

app = typer.Typer()


@command(app, "discover", PrepareDiscoverSettings)
def discover(settings: PrepareDiscoverSettings) -> None:
    """Say which source has the episodes, and how the disk compares with the selection; 65 where none has enough."""
    data_root = settings.place(settings.data_root)
    selection = read_selection(settings.place(settings.selection_json)) if settings.selection_json else None
    repo_id, revision = (selection.repo_id, selection.revision) if selection else (settings.repo_id, settings.revision)

    def ask_hub() -> Sizes:
        hub = open_hub(settings, repo_id, "dataset")
        return listing_sizes(hub.listing(hub.resolve_revision(revision)))

    def ask_modelscope() -> Sizes:
        endpoint, timeout = settings.modelscope_endpoint, settings.hub_timeout_seconds
        return listing_sizes(modelscope_listing(endpoint, repo_id, revision="master", timeout_seconds=timeout))

    found = discover_sources(
        look_at(data_root) if data_root.is_dir() else DataRoot(),
        planned=planned_of_selection(selection) if selection else None,
        modelscope=skipped("modelscope") if settings.skip_modelscope else remote("modelscope", ask_modelscope),
        huggingface=skipped("huggingface") if settings.skip_huggingface else remote("huggingface", ask_hub),
        target_episodes=settings.target_episodes,
        workspace=str(settings.workspace),
        data_root=str(data_root),
        selection_sha256=selection.source_sha256 if selection else None,
    )
    found.write(settings.place(settings.output))
    write_atomic(settings.place(settings.report_output), markdown(found))
    sources = (found.local, found.modelscope, found.huggingface)
    if settings.json_output:
        brief = found.model_dump(exclude={name: {"episodes"} for name in ("local", "modelscope", "huggingface")})
        print_json(brief)
    else:
        print_table(
            f"sources for {found.target_episodes} episodes",
            ("source", "status", "episodes", "complete", "bytes"),
            [(s.source, s.status, s.num_episodes, s.num_complete_episodes, human_bytes(s.size_bytes)) for s in sources],
        )
        for item in found.data_status_items:
            out.print(f"{'ok' if item.ok else 'NO':2} {item.item}: {item.detail}")
    if not found.ready:
        raise BadDataError(
            "no source has enough whole episodes", where=str(data_root), why=found.data_status_items[0].detail,
            fix=f"{settings.report_output} names them.",
        )  # fmt: skip


@command(app, "manifest", PrepareManifestSettings)
def manifest(settings: PrepareManifestSettings) -> None:
    """Say which episodes are staged, which are usable and in which split; the split is inherited."""
    from xperience.prepare.usable import purposes_of

    purposes = purposes_of(settings.purposes)
    data_root, output = settings.place(settings.data_root), settings.place(settings.output)
    probe = settings.place(settings.probe_json) if settings.probe_json else None
    check = settings.place(settings.check_json) if settings.check_json else None
    disk = look_at(data_root)
    sources = Sources(
        disk=disk,
        selection=read_selection(settings.place(settings.selection_json)) if settings.selection_json else None,
        transfer=read_transfer(data_root, disk),
        verdicts=read_verdicts(
            probe or artefact_in(output.parent, ProbeView.SCHEMA, flag="--probe-json"),
            check or artefact_in(output.parent, CheckView.SCHEMA, flag="--check-json"),
        ),
    )
    fractions = Fractions.asked(settings.train_fraction, settings.val_fraction, settings.test_fraction)
    planned, origin = planned_episodes(sources, fractions, settings.split_seed, redraw=settings.redraw_split)
    if settings.max_episodes and len(planned) > settings.max_episodes:
        raise UsageError(
            "more episodes than asked for", where="--max-episodes",
            why=f"{len(planned)} against {settings.max_episodes}",
            fix="A part of a selection is a selection of its own: make one, or raise --max-episodes.",
        )  # fmt: skip
    found = build_manifest(sources, planned, origin, data_root=data_root, purposes=purposes)
    found.write(output)
    if settings.json_output:
        print_json({"output": str(output), **found.summary.model_dump(), "split": found.split.model_dump()})
    else:
        _print_manifest(found, output)


def _print_manifest(found: EpisodeManifest, output: Path) -> None:
    summary = found.summary
    usable = "not known: run `prepare probe` or `prepare check`"
    if summary.usable_episodes is not None:
        counts = ", ".join(f"{count} for {purpose}" for purpose, count in summary.usable_by_purpose.items())
        usable = f"{summary.usable_episodes} ({counts})"
    out.print(f"episodes {summary.num_episodes} · staged {summary.staged_episodes} · usable {usable}")
    out.print(f"split    {'/'.join(str(count) for count in summary.split_counts.values())}: {found.split.note}")
    out.print(f"bytes    {human_bytes(summary.total_bytes)} in {output}")
    for episode in found.missing_or_incomplete[:10]:
        out.print(f"  not staged: {episode.episode_path}: {', '.join(episode.missing)}")
    if len(found.missing_or_incomplete) > 10:
        out.print(f"  and {len(found.missing_or_incomplete) - 10} more")
