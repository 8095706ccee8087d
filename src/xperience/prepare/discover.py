"""Where episodes are: on this disk, at the hub, at ModelScope; and how the disk compares with the selection."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Literal

from xperience.common.errors import UnavailableError, XperienceError
from xperience.common.evidence import Evidence, Part
from xperience.common.identity import FileIdentity
from xperience.common.layout import ANNOTATION, TRAINING_FILES, VIDEOS
from xperience.common.sizes import human_bytes
from xperience.prepare.data_root import DataRoot
from xperience.prepare.planned import Planned, faults_of

Sizes = Mapping[str, Mapping[str, int]]  # <session>/<episode> to file name to bytes
SourceName = Literal["local", "modelscope", "huggingface"]


class FoundEpisode(Part):
    """An episode at one source. Degraded: annotation and fisheye_cam0 alone. A file without bytes is missing."""

    source: SourceName
    episode_id: str
    episode_path: str
    has_annotation: bool
    has_fisheye_cam0: bool
    has_all_videos: bool
    has_any_video: bool
    missing_views: list[str]
    is_degraded_valid: bool
    is_complete: bool


class Source(Part):
    """One source; `status` is `listed`, `skipped`, or `not_run(why)`."""

    source: SourceName
    status: str
    num_episodes: int
    num_degraded_valid_episodes: int
    num_complete_episodes: int
    size_bytes: int
    errors: list[str]
    episodes: list[FoundEpisode]


class Comparison(Part):
    """The disk against the selection."""

    selected_episodes: int
    staged_episodes: int
    staged_bytes: int
    expected_bytes: int
    missing_episodes: list[str]
    incomplete_episodes: dict[str, list[str]]
    extra_episodes: list[str]
    repeated_sessions: list[str]


class StatusItem(Part):
    """One line of the report."""

    item: str
    ok: bool
    detail: str


class SourceDiscovery(Evidence):
    """`selected_source` is the first that has the target's number of whole episodes; `ready` says that there is one."""

    SCHEMA: ClassVar[str] = "xperience.source-discovery/1"

    target_episodes: int
    workspace: str
    data_root: str
    ready: bool
    selected_source: str
    local: Source
    modelscope: Source
    huggingface: Source
    selection: Comparison | None
    excluded_files: list[str]
    leftovers: list[str]
    data_status_items: list[StatusItem]


def local_sizes(disk: DataRoot) -> Sizes:
    """The disk's episodes."""
    return {path: {name: file.size_bytes for name, file in files.items()} for path, files in disk.episodes.items()}


def listing_sizes(listing: Iterable[FileIdentity]) -> Sizes:
    """The episodes of a listing."""
    found: dict[str, dict[str, int]] = {}
    for file in listing:
        folder, _, name = file.path.rpartition("/")
        if name in TRAINING_FILES:
            found.setdefault(folder, {})[name] = file.size_bytes
    return dict(sorted(found.items()))


def skipped(source: SourceName) -> Source:
    """A source that was not asked."""
    return _source(source, {}, "skipped", [])


def remote(source: SourceName, ask: Callable[[], Sizes]) -> Source:
    """Ask a source; where it does not answer it is `not_run`, and its error is kept."""
    try:
        return _source(source, ask(), "listed", [])
    except UnavailableError as error:
        reason = error.what if source == "modelscope" else f"{error.what}: {error.where}"
        return _source(source, {}, f"not_run({reason})", [str(error)])
    except XperienceError as error:
        return _source(source, {}, f"not_run({error.what})", [str(error)])


def _source(source: SourceName, sizes: Sizes, status: str, errors: list[str]) -> Source:
    episodes = [_found(source, path, files) for path, files in sizes.items()]
    return Source(
        source=source,
        status=status,
        num_episodes=len(episodes),
        num_degraded_valid_episodes=sum(episode.is_degraded_valid for episode in episodes),
        num_complete_episodes=sum(episode.is_complete for episode in episodes),
        size_bytes=sum(sum(files.values()) for files in sizes.values()),
        errors=errors,
        episodes=episodes,
    )


def _found(source: SourceName, path: str, files: Mapping[str, int]) -> FoundEpisode:
    there = {name for name, size in files.items() if size > 0}
    missing = [name for name in VIDEOS if name not in there]
    return FoundEpisode(
        source=source,
        episode_id=path.replace("/", "__"),
        episode_path=path,
        has_annotation=ANNOTATION in there,
        has_fisheye_cam0=VIDEOS[0] in there,
        has_all_videos=not missing,
        has_any_video=len(missing) < len(VIDEOS),
        missing_views=missing,
        is_degraded_valid=ANNOTATION in there and VIDEOS[0] in there,
        is_complete=ANNOTATION in there and not missing,
    )


def compare(disk: DataRoot, planned: list[Planned]) -> Comparison:
    """Selected episodes that are missing, incomplete or of another size, and what nobody selected."""
    faults = {episode.path: faults_of(episode, disk.episodes.get(episode.path, {})) for episode in planned}
    sessions = Counter(path.partition("/")[0] for path in disk.episodes)
    return Comparison(
        selected_episodes=len(planned),
        staged_episodes=sum(not found for found in faults.values()),
        staged_bytes=sum(
            file.size_bytes for episode in planned for file in disk.episodes.get(episode.path, {}).values()
        ),
        expected_bytes=sum(
            sum(episode.size_bytes.values())
            if len(episode.size_bytes) == len(TRAINING_FILES)
            else (episode.annotation_bytes or 0) + (episode.video_bytes or 0)
            for episode in planned
        ),
        missing_episodes=[path for path in faults if path not in disk.episodes],
        incomplete_episodes={path: found for path, found in faults.items() if found and path in disk.episodes},
        extra_episodes=sorted(set(disk.episodes) - set(faults)),
        repeated_sessions=sorted(session for session, count in sessions.items() if count > 1),
    )


def discover(
    disk: DataRoot, *, planned: list[Planned] | None, modelscope: Source, huggingface: Source, target_episodes: int,
    workspace: str, data_root: str, selection_sha256: str | None,
) -> SourceDiscovery:  # fmt: skip
    """Put the sources together. On disk only whole episodes count, and where there is a selection only its own."""
    local = _source("local", local_sizes(disk), "listed", [])
    comparison = compare(disk, planned) if planned is not None else None
    here = comparison.staged_episodes if comparison else local.num_complete_episodes
    counts = {
        "local": here,
        "modelscope": modelscope.num_complete_episodes,
        "huggingface": huggingface.num_complete_episodes,
    }
    chosen = next((name for name, count in counts.items() if count >= target_episodes), "none")
    return SourceDiscovery(
        inputs={"selection": selection_sha256} if selection_sha256 else {},
        target_episodes=target_episodes,
        workspace=workspace,
        data_root=data_root,
        ready=chosen != "none",
        selected_source=chosen,
        local=local,
        modelscope=modelscope,
        huggingface=huggingface,
        selection=comparison,
        excluded_files=list(disk.rrd),
        leftovers=list(disk.leftovers),
        data_status_items=_items(disk, comparison, counts, target_episodes),
    )


def _items(disk: DataRoot, comparison: Comparison | None, counts: Mapping[str, int], target: int) -> list[StatusItem]:
    items = [
        StatusItem(
            item="whole episodes on disk", ok=counts["local"] >= target, detail=f"{counts['local']} of {target}"
        ),
        StatusItem(item="no *.rrd", ok=not disk.rrd, detail=_some(disk.rrd)),
        StatusItem(item="no partial files", ok=not disk.leftovers, detail=_some(disk.leftovers)),
    ]
    if comparison is not None:
        staged, expected = comparison.staged_bytes, comparison.expected_bytes
        items += [
            StatusItem(
                item="selection staged", ok=comparison.staged_episodes == comparison.selected_episodes,
                detail=f"{comparison.staged_episodes} of {comparison.selected_episodes} episodes, "
                f"{human_bytes(staged)} of {human_bytes(expected)}",
            ),
            StatusItem(
                item="nothing but the selection", ok=not comparison.extra_episodes,
                detail=_some(comparison.extra_episodes),
            ),
        ]  # fmt: skip
    return items


def _some(paths: Iterable[str]) -> str:
    listed = list(paths)
    return ", ".join([*listed[:3], *([f"and {len(listed) - 3} more"] if len(listed) > 3 else [])]) or "none"


def markdown(found: SourceDiscovery) -> str:
    """The report that the plan calls DATA_BLOCKER_REPORT."""
    lines = [
        "# Sources of episodes", "",
        f"Target: {found.target_episodes} whole episodes. " + (
            f"Met by: **{found.selected_source}**." if found.ready else "**Not met by any source.**"
        ), "",
        "| source | status | episodes | degraded or better | complete | bytes |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {source.source} | {source.status} | {source.num_episodes} | {source.num_degraded_valid_episodes}"
        f" | {source.num_complete_episodes} | {human_bytes(source.size_bytes)} |"
        for source in (found.local, found.modelscope, found.huggingface)
    ]
    lines += ["", "| on disk | verdict | detail |", "|---|---|---|"]
    lines += [f"| {i.item} | {'ok' if i.ok else '**no**'} | {i.detail} |" for i in found.data_status_items]
    if found.selection is not None:
        for title, listed in (
            ("Missing", found.selection.missing_episodes),
            ("Incomplete", [f"{path}: {', '.join(f)}" for path, f in found.selection.incomplete_episodes.items()]),
            ("Not selected", found.selection.extra_episodes),
            ("Sessions with more than one episode", found.selection.repeated_sessions),
        ):
            if listed:
                lines += ["", f"## {title}: {len(listed)}", "", *(f"* {item}" for item in listed)]
    for source in (found.modelscope, found.huggingface):
        for error in source.errors:
            lines += ["", f"{source.source}: {error}"]
    return "\n".join(lines) + "\n"
