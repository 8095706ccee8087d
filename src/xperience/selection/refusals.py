"""What makes a selection unusable, each refusal by its name."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from xperience.common.errors import BadDataError
from xperience.common.layout import EXCLUDED_FILE, TRAINING_FILES
from xperience.selection.document import SPLITS, PinnedSelection, PlanEpisode, PlanFields

CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


def refuse(name: str, where: str, why: str) -> BadDataError:
    """The error of a refusal; `name` is stable and meant for machines too."""
    return BadDataError(
        f"selection refused [{name}]", where=where, why=why, fix="Make the selection anew, or mend this file."
    )


def check_path(path: str) -> None:
    """A path that stays below the root on every system: relative, no empty or dot parts, no control characters."""
    parts = path.split("/")
    bad = not path or path.startswith("/") or CONTROL.search(path) or any(part in ("", ".", "..") for part in parts)
    if bad or re.match(r"[A-Za-z]:", path):
        raise refuse("unsafe-path", repr(path), "paths are relative, without .., empty parts and control characters")


def check_paths(paths: Iterable[str]) -> None:
    """Safe paths, no one twice."""
    for path, count in Counter(paths).items():
        check_path(path)
        if count > 1:
            raise refuse("repeated-file", path, f"it is named {count} times")


def check_plan(document: PlanFields) -> None:
    """Every refusal of a plan's document, pinned or not."""
    episodes = document.selected_episodes
    if not document.rules.one_episode_per_top_level_session:
        raise refuse("sessions-not-unique", "rules", "one_episode_per_top_level_session is false")
    check_paths(document.download_files)
    for episode in episodes:
        _check_episode(episode)
    if len(episodes) != document.target_episodes:
        raise refuse("fewer-episodes", "selected_episodes", f"{len(episodes)} of {document.target_episodes}")
    _check_sessions(episodes)
    in_order = [path for episode in episodes for path in episode.download_files]
    if in_order != document.download_files:
        raise refuse("file-list-differs", "download_files", "not the episodes' files in their order")
    _check_sums(document)
    if isinstance(document, PinnedSelection):
        _check_pinned(document)


def _check_sessions(episodes: list[PlanEpisode]) -> None:
    splits: dict[str, set[str]] = {}
    for episode in episodes:
        splits.setdefault(episode.top_level_session, set()).add(episode.split)
    for session, found in splits.items():
        if len(found) > 1:
            raise refuse("session-in-two-splits", session, " and ".join(sorted(found)))
    for session, count in Counter(episode.top_level_session for episode in episodes).items():
        if count > 1:
            raise refuse("repeated-session", session, f"{count} episodes")


def _check_episode(episode: PlanEpisode) -> None:
    where = episode.episode_path
    check_path(where)
    if where != f"{episode.top_level_session}/{episode.episode_id}":
        raise refuse("session-differs-from-path", where, episode.top_level_session)
    if episode.split not in SPLITS:
        raise refuse("unknown-split", where, episode.split)
    names = [PurePosixPath(path).name for path in episode.download_files]
    if EXCLUDED_FILE in names or any(name.endswith(".rrd") for name in names):
        raise refuse("excluded-file", where, f"{EXCLUDED_FILE} is in download_files")
    missing = sorted(set(TRAINING_FILES) - set(names))
    if missing or episode.missing_required_files:
        raise refuse("missing-file", where, ", ".join(missing or episode.missing_required_files))
    strange = [path for path in episode.download_files if path not in {f"{where}/{name}" for name in TRAINING_FILES}]
    if strange or len(names) != len(TRAINING_FILES):
        raise refuse("strange-file", where, ", ".join(strange) or "a file is named twice")
    training = episode.training_bytes_excluding_visualization_rrd
    if episode.annotation_bytes + episode.video_bytes != training:
        raise refuse("sizes-do-not-add-up", where, f"annotation + video is not {training}")
    if not episode.has_visualization_rrd and episode.total_bytes != training:
        raise refuse("sizes-do-not-add-up", where, f"total_bytes is {episode.total_bytes}, training bytes {training}")


def _check_sums(document: PlanFields) -> None:
    episodes, summary = document.selected_episodes, document.selected_summary
    facts = {
        "episode_count": len(episodes),
        "unique_session_count": len({episode.top_level_session for episode in episodes}),
        "split_counts": dict(Counter(episode.split for episode in episodes)),
        "size_band_counts": dict(Counter(episode.size_band for episode in episodes)),
        "split_band_counts": dict(Counter(f"{episode.split}/{episode.size_band}" for episode in episodes)),
        "estimated_annotation_bytes": sum(episode.annotation_bytes for episode in episodes),
        "estimated_download_bytes_excluding_visualization_rrd": sum(
            episode.training_bytes_excluding_visualization_rrd for episode in episodes
        ),
    }
    for name, found in facts.items():
        if getattr(summary, name) != found:
            raise refuse("sizes-do-not-add-up", f"selected_summary.{name}", f"{getattr(summary, name)}, found {found}")
    if [episode.selection_rank for episode in episodes] != list(range(1, len(episodes) + 1)):
        raise refuse("ranks-out-of-order", "selected_episodes", "selection_rank is not 1, 2, 3, …")


def _check_pinned(document: PinnedSelection) -> None:
    sizes = {file.path: file.size_bytes for file in document.files}
    if [file.path for file in document.files] != document.download_files:
        raise refuse("file-list-differs", "files", "not download_files in their order")
    for file in document.files:
        if (file.sha256 is None) == (file.git_sha1 is None):
            raise refuse("no-hash", file.path, "exactly one of sha256 and git_sha1 is the hub's")
    for episode in document.selected_episodes:
        found = sum(sizes[path] for path in episode.download_files)
        annotation = sizes[f"{episode.episode_path}/{TRAINING_FILES[0]}"]
        if (found, annotation) != (episode.training_bytes_excluding_visualization_rrd, episode.annotation_bytes):
            raise refuse(
                "size-differs-from-hub", episode.episode_path,
                f"files add up to {found} ({annotation} of annotation), selected "
                f"{episode.training_bytes_excluding_visualization_rrd} ({episode.annotation_bytes})",
            )  # fmt: skip
