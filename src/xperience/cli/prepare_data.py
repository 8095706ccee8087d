"""`xperience prepare manifest | discover | audit | review | replace`."""

from pathlib import Path

import typer

from xperience.cli.console import out, print_json
from xperience.cli.flags import command
from xperience.common.errors import UsageError
from xperience.common.settings import PrepareManifestSettings
from xperience.common.sizes import human_bytes
from xperience.prepare.data_root import look_at
from xperience.prepare.manifest import EpisodeManifest, build_manifest
from xperience.prepare.planned import Sources, planned_episodes, read_transfer
from xperience.prepare.splits import Fractions
from xperience.prepare.verdicts import read_verdicts
from xperience.selection.plan_file import read_selection

app = typer.Typer(no_args_is_help=True, help="From staged files to training data.")


def beside(given: Path | None, output: Path, name: str) -> Path | None:
    """The given artefact, else the one of this name beside the output, else none."""
    if given is not None:
        return given
    default = output.parent / name
    return default if default.is_file() else None


@command(app, "manifest", PrepareManifestSettings)
def manifest(settings: PrepareManifestSettings) -> None:
    """Say which episodes are staged, which are usable and in which split; the split is inherited."""
    data_root, output = settings.place(settings.data_root), settings.place(settings.output)
    probe = settings.probe_json and settings.place(settings.probe_json)
    check = settings.check_json and settings.place(settings.check_json)
    disk = look_at(data_root)
    sources = Sources(
        disk=disk,
        selection=read_selection(settings.place(settings.selection_json)) if settings.selection_json else None,
        transfer=read_transfer(data_root, disk),
        verdicts=read_verdicts(beside(probe, output, "probe.json"), beside(check, output, "check.json")),
    )
    fractions = Fractions(settings.train_fraction, settings.val_fraction, settings.test_fraction)
    planned, origin = planned_episodes(sources, fractions, settings.split_seed, redraw=settings.redraw_split)
    if settings.max_episodes and len(planned) > settings.max_episodes:
        raise UsageError(
            "more episodes than asked for", where="--max-episodes",
            why=f"{len(planned)} against {settings.max_episodes}",
            fix="A part of a selection is a selection of its own: make one, or raise --max-episodes.",
        )  # fmt: skip
    found = build_manifest(sources, planned, origin, data_root=data_root, purposes=settings.purposes)
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
