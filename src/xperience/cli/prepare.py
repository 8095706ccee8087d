"""`xperience prepare …`: what is usable, at the hub and in the data root."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.log import configure_log
from xperience.common.settings.prepare import PrepareCheckSettings, PrepareProbeSettings
from xperience.common.signals import stop_on_signal
from xperience.common.sizes import human_bytes
from xperience.hub.opening import open_hub
from xperience.selection.plan_file import read_selection

if TYPE_CHECKING:
    from xperience.prepare.check import CheckedEpisode, CheckReport
    from xperience.prepare.probe import ProbeReport
    from xperience.prepare.usable import Purpose, Verdict

# The modules that open episodes are imported where they are used: the relay's image has no HDF5 and no MP4 library.
app = typer.Typer(no_args_is_help=True, help="Say what is usable, before and after it is moved.")

DONE_EVERY_EPISODES = 16


def need_episode_libraries() -> None:
    """ConfigurationError where HDF5 or MP4 cannot be read here."""
    missing = [name for name in ("h5py", "av") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            "episodes cannot be read here", why=f"no {' and no '.join(missing)}",
            fix="Install them: pip install 'xperience[episode]'.",
        )  # fmt: skip


@command(app, "probe", PrepareProbeSettings)
def probe_selection(settings: PrepareProbeSettings) -> None:
    """Read some bytes of each selected episode at the hub; exit 65 where one is not usable."""
    need_episode_libraries()
    from xperience.prepare.probe import probe

    configure_log(settings.log_format, settings.log_level)
    selection = read_selection(settings.selection_json)

    def done(episodes: int) -> None:
        if episodes % DONE_EVERY_EPISODES == 0:
            print(f"probe: {episodes} of {len(selection.episodes)} episodes", file=sys.stderr, flush=True)

    with stop_on_signal() as asked_to_stop:
        hub = open_hub(settings, selection.repo_id, selection.repo_type)
        report = probe(settings, selection, hub, stop=asked_to_stop, done=done)
    report.write(settings.output)
    if settings.json_output:
        print_json(report.document())
    else:
        _print_probe(report, settings.output)
    if report.unusable:
        first = report.unusable[0]
        raise BadDataError(
            f"{len(report.unusable)} of {report.selected} episodes are not usable", where=first.path,
            why=reason_of(first.verdict, report.purposes),
            fix="Replace them, or ask for less with --purposes.",
        )  # fmt: skip


def _print_probe(report: "ProbeReport", output: Path) -> None:
    fit = f"usable for {' and '.join(report.purposes)}"
    if report.unusable:
        print_table(
            f"not {fit}",
            ("episode", "split", "good for", "why not"),
            [
                (e.path, e.split, ", ".join(e.verdict.good_for) or "nothing", reason_of(e.verdict, report.purposes))
                for e in report.unusable
            ],
        )
    by_purpose = ", ".join(f"{purpose}: {count}" for purpose, count in report.usable_for.items())
    out.print(
        f"{report.usable} of {report.selected} episodes are {fit} ({by_purpose})\n"
        f"{report.requests} requests, {human_bytes(report.read_bytes)} of {human_bytes(report.selected_bytes)} read;"
        f" report in {output}"
    )


@command(app, "check", PrepareCheckSettings)
def check_data_root(settings: PrepareCheckSettings) -> None:
    """Hash every staged file against the transfer manifest and look into it; exit 65 where an episode fails."""
    need_episode_libraries()
    from xperience.common.shards import Shard, shard_of
    from xperience.prepare.check import check
    from xperience.prepare.merge import merge_shards

    configure_log(settings.log_format, settings.log_level)

    def done(episodes: int, of: int) -> None:
        if episodes % DONE_EVERY_EPISODES == 0:
            print(f"check: {episodes} of {of} episodes", file=sys.stderr, flush=True)

    if settings.merge:
        shard = Shard()
        report = merge_shards(settings.output, settings.shards)
    else:
        shard = shard_of(settings.shard, settings.shards)
        with stop_on_signal() as asked_to_stop:
            report = check(settings, shard=shard, stop=asked_to_stop, done=done)
    report.write(shard.path(settings.output))
    if settings.json_output:
        print_json(report.document())
    else:
        _print_check(report, shard.path(settings.output))
    if report.failing:
        first = report.failing[0]
        raise BadDataError(
            f"{len(report.failing)} of {report.staged} episodes fail", where=first.path,
            why=why_failing(first, report.purposes),
            fix="Run the relay again for files that differ; replace episodes that are not usable.",
        )  # fmt: skip
    if report.failing_others:
        path = report.failing_others[0]
        raise BadDataError("a file differs", where=path, why=report.others[path].fault, fix="Run the relay again.")


def _print_check(report: "CheckReport", output: Path) -> None:
    if report.failing:
        print_table(
            "failing",
            ("episode", "intact", "good for", "why"),
            [
                (
                    e.path,
                    "yes" if e.intact else "no",
                    ", ".join(e.verdict.good_for) or "nothing",
                    why_failing(e, report.purposes),
                )
                for e in report.failing
            ],
        )
    by_purpose = ", ".join(f"{purpose}: {count}" for purpose, count in report.usable_for.items())
    out.print(
        f"staged {report.staged}, intact {report.intact}, usable for {' and '.join(report.purposes)} {report.usable}"
        f" ({by_purpose}); {human_bytes(report.size_bytes)} hashed, {report.hashes}; report in {output}"
    )


def reason_of(verdict: "Verdict", purposes: "Sequence[Purpose]") -> str:
    """The reasons of the purposes that were asked for, each once, the weightiest first."""
    return "; ".join(dict.fromkeys(reason for purpose in purposes for reason in verdict.reasons[purpose]))


def why_failing(episode: "CheckedEpisode", purposes: "Sequence[Purpose]") -> str:
    """Reasons against its use, then files that are not as they should be, then files that should not be there."""
    files = [f"{name}: {file.fault}" for name, file in episode.files.items() if file.fault]
    unexpected = [f"unexpected: {name}" for name in episode.unexpected]
    return "; ".join(filter(None, dict.fromkeys([reason_of(episode.verdict, purposes), *files, *unexpected])))
