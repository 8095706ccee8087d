"""`xperience windows build | verify | stats`."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xperience.cli.console import out, print_json, print_table
from xperience.cli.flags import command
from xperience.common.errors import BadDataError
from xperience.common.log import configure_log
from xperience.common.settings.windows import WindowsBuildSettings, WindowsStatsSettings, WindowsVerifySettings
from xperience.common.shards import shard_of
from xperience.common.signals import stop_on_signal
from xperience.common.sizes import human_bytes

if TYPE_CHECKING:
    from xperience.windows.dataset import WindowsDataset

# The modules of this stage are imported where they are used: they need HDF5, MP4 and Parquet.
app = typer.Typer(no_args_is_help=True, help="Windows of labelled frames and sound: the index and the media.")


@command(app, "build", WindowsBuildSettings)
def build_windows(settings: WindowsBuildSettings) -> None:
    """Decode each usable episode once, and index its labelled windows; run it again after any interruption."""
    from xperience.windows.build import build

    configure_log(settings.log_format, settings.log_level)

    def done(what: str, episodes: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\rwindows: {what} of {episodes} of {of} episodes ", end="", file=sys.stderr, flush=True)

    shard = shard_of("" if settings.merge else settings.shard, 1 if settings.merge else settings.shards)
    with stop_on_signal() as asked_to_stop:
        built = build(settings, shard=shard, stop=asked_to_stop, done=done)
    if built.dataset is None:
        print_or_say(
            settings.json_output, {"made": built.made, "found": built.found, "missing": built.missing},
            f"media of {built.made} episodes made, of {built.found} found; {built.missing} of other shards are missing,"
            " the last shard writes the index",
        )  # fmt: skip
        return
    index, natural = built.dataset.index, built.dataset.natural_test
    counts = "/".join(str(count) for count in index.windows_by_split.values())
    print_or_say(
        settings.json_output,
        {"made": built.made, "found": built.found, "missing": 0, "index": index.model_dump(),
         "natural_test": natural.model_dump() if natural else None},
        f"media of {built.made} episodes made, of {built.found} found\n"
        f"{index.windows} windows ({counts}) of {len(built.dataset.episodes)} episodes in {index.path}"
        + (f"\n{natural.windows} test windows, uncapped, in {natural.path}" if natural else ""),
    )  # fmt: skip


def print_or_say(as_json: bool, document: dict[str, object], text: str) -> None:
    """The result, for a machine or for a person."""
    if as_json:
        print_json(document)
    else:
        out.print(text)


@command(app, "verify", WindowsVerifySettings)
def verify_windows(settings: WindowsVerifySettings) -> None:
    """Hash every file and check every row; exit 65 where something is not as it should be."""
    from xperience.windows.verify import verify

    configure_log(settings.log_format, settings.log_level)
    output = settings.windows.expanduser()
    manifest = settings.manifest_json.expanduser() if settings.manifest_json else None
    with stop_on_signal() as asked_to_stop:
        found = verify(output, manifest, stop=asked_to_stop)
    found.write(settings.report or output / "verified.json")
    print_or_say(
        settings.json_output, found.document(),
        "\n".join(found.faults) or
        f"{found.windows} windows (and {found.natural_test_windows} test windows, uncapped) of {found.episodes}"
        f" episodes, {human_bytes(found.media_bytes)} of media: all as written",
    )  # fmt: skip
    if found.faults:
        raise BadDataError(
            f"{len(found.faults)} faults in the windows", where=str(output), why=found.faults[0],
            fix="Run `windows build` again; remove media/<episode> of what differs.",
        )  # fmt: skip


@command(app, "stats", WindowsStatsSettings)
def print_stats(settings: WindowsStatsSettings) -> None:
    """Base rates per split, labels that train does not know, sound, and what was left out."""
    from xperience.windows.dataset import ARTEFACT, WindowsDataset

    place = settings.windows.expanduser() / ARTEFACT
    if not place.exists():
        raise BadDataError("no windows", where=str(place), fix="Run `windows build`; with shards, until all are done.")
    dataset = WindowsDataset.read(place)
    if settings.json_output:
        print_json(
            dataset.model_dump(mode="json", include={"index", "natural_test", "base_rates", "uninformative", "unseen"})
        )
        return
    _print_stats(dataset, place)


def _print_stats(dataset: "WindowsDataset", place: Path) -> None:
    for split, fields in dataset.base_rates.items():
        windows = next(iter(fields.values())).windows
        print_table(
            f"{split}: {windows} windows",
            ("field", "known", "values", "majority", "most common", ""),
            [
                (
                    name, f"{found.known / windows:.1%}", found.distinct, f"{found.majority_share:.1%}",
                    found.most_common[0][0], "uninformative" if found.uninformative else "",
                )
                for name, found in fields.items()
            ],
        )  # fmt: skip
    if dataset.unseen:
        print_table(
            "labels that train does not have",
            ("split", "field", "labels", "unseen", "windows", "unseen windows", "share"),
            [
                (split, field, found.labels, found.unseen_labels, found.windows, found.unseen_windows,
                 f"{found.unseen_windows / max(found.windows, 1):.1%}")
                for split, fields in dataset.unseen.items() for field, found in fields.items()
            ],
        )  # fmt: skip
    episodes = dataset.episodes
    sounds = Counter(episode.sound for episode in episodes)
    kept, labelled = sum(e.kept_windows for e in episodes), sum(e.labelled_windows for e in episodes)
    out.print(
        f"{len(episodes)} episodes, {len(dataset.skipped)} left out;"
        f" {kept} of {labelled} labelled windows kept, {sum(e.over_gap for e in episodes)} across a hole of the clock\n"
        f"sound: {', '.join(f'{count} {status}' for status, count in sorted(sounds.items()))};"
        f" {sum(e.damaged_frames for e in episodes)} damaged frames;"
        f" {human_bytes(sum(e.media_bytes for e in episodes))} of media; all in {place}"
    )
