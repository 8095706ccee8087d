"""The plan: batches, scratch and time, reckoned before anything moves."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from xperience.common.errors import ConfigurationError, NoSpaceError
from xperience.common.sizes import MIB, human_bytes
from xperience.selection.model import SelectedFile, Selection

LEAD_FILES = 8  # a connection each
MOST_PARTS = 10_000  # of a multipart upload (AWS, Multipart upload limits)


@dataclass(frozen=True, slots=True)
class Batch:
    """A unit of report and limits; `size_bytes` is exact with and without per-file sizes."""

    index: int
    episodes: tuple[str, ...]
    files: tuple[SelectedFile, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes at given rates: wall time of the pipeline, of its legs one after the other, and scratch."""

    seconds: float
    sequential_seconds: float
    peak_scratch_bytes: int


def plan_batches(selection: Selection, *, max_bytes: float, max_episodes: int) -> tuple[Batch, ...]:
    """Fill batches in selection order; one closes when bytes or episodes would exceed its limits.

    An episode larger than `max_bytes` is a batch of its own. A repository without episodes is cut by bytes alone.
    Inside a batch files go from large to small, so that no large one is left alone at the tail; the first batch begins
    with its smallest, as many as can be sent while the first large one is downloaded.
    """
    batches: list[Batch] = []
    names: list[str] = []
    files: list[SelectedFile] = []
    size_bytes = 0

    def close() -> None:
        ordered = sorted(files, key=lambda file: (-(file.size_bytes or 0), file.path))
        if not batches:
            lead = _lead([file.size_bytes or 0 for file in ordered])
            ordered = [*reversed(ordered[len(ordered) - lead :]), *ordered[: len(ordered) - lead]]
        batches.append(Batch(len(batches), tuple(names), tuple(ordered), size_bytes))

    for name, unit_bytes, unit_files in _units(selection):
        full = len(names) >= max_episodes or size_bytes + unit_bytes > max_bytes
        if files and full:
            close()
            names, files, size_bytes = [], [], 0
        if name:
            names.append(name)
        files.extend(unit_files)
        size_bytes += unit_bytes
    if files:
        close()
    return tuple(batches)


def _lead(descending: Sequence[int]) -> int:
    """How many of the smallest go first: one per connection, and together at least as large as the largest file.

    A hub as fast as the store has brought that one by the time they are sent.
    """
    lead = led_bytes = 0
    for size in reversed(descending[1:]):
        if lead >= min(LEAD_FILES, len(descending) // 2) and led_bytes >= descending[0]:
            break
        lead, led_bytes = lead + 1, led_bytes + size
    return lead


def _units(selection: Selection) -> Iterator[tuple[str, int, tuple[SelectedFile, ...]]]:
    if not selection.episodes:
        for file in selection.files:
            yield "", file.size_bytes or 0, (file,)
        return
    by_path = {file.path: file for file in selection.files}
    for episode in selection.episodes:
        yield episode.path, episode.size_bytes, tuple(by_path[path] for path in episode.files)


def largest_file_bytes(selection: Selection) -> int:
    """Size of the largest file; before pinning, of the largest annotation."""
    sizes = [file.size_bytes for file in selection.files if file.size_bytes is not None]
    return max([*sizes, *(episode.annotation_bytes for episode in selection.episodes)], default=0)


def check_scratch(selection: Selection, budget_bytes: int, *, delete_after_transfer: bool) -> None:
    """NoSpaceError where the run could never end under this budget."""
    largest = largest_file_bytes(selection)
    if largest > budget_bytes:
        raise NoSpaceError(
            "a file is larger than the scratch budget",
            where=_name_of_largest(selection),
            why=f"{human_bytes(largest)} against a budget of {human_bytes(budget_bytes)}",
            fix="Raise --scratch-budget-gib or free scratch space.",
        )
    if not delete_after_transfer and selection.size_bytes > budget_bytes:
        raise NoSpaceError(
            "the selection is larger than the scratch budget and copies are kept",
            why=f"{human_bytes(selection.size_bytes)} against a budget of {human_bytes(budget_bytes)}",
            fix="Add --delete-after-transfer, or raise --scratch-budget-gib.",
        )


def check_parts(selection: Selection, part_bytes: int | None) -> None:
    """ConfigurationError where S3 would need more parts than it takes; `part_bytes` is None where there are none."""
    largest = largest_file_bytes(selection)
    if part_bytes is not None and largest > MOST_PARTS * part_bytes:
        raise ConfigurationError(
            "a file has too many parts for S3", where=_name_of_largest(selection),
            why=f"{human_bytes(largest)} in parts of {human_bytes(part_bytes)}, and {MOST_PARTS} are the most",
            fix=f"Give --chunk-size-mib {-(-largest // (MOST_PARTS * MIB))}.",
        )  # fmt: skip


def _name_of_largest(selection: Selection) -> str:
    if selection.pinned:
        return max(selection.files, key=lambda file: file.size_bytes or 0).path
    return max(selection.episodes, key=lambda episode: episode.annotation_bytes).path


def estimate(sizes_bytes: Iterable[int], *, budget_bytes: int, download_rate: float, transfer_rate: float) -> Estimate:
    """Simulate the pipeline file by file at constant rates (bytes per second), files in the given order.

    A file starts downloading when the former has ended and its bytes fit the budget; it is sent when the former is
    sent, and its bytes are given back then (relay.md 4.1, the per-file window).
    """
    download_end = transfer_end = 0.0
    reserved = peak = total = 0
    held: deque[tuple[float, int]] = deque()
    for size in sizes_bytes:
        start = download_end
        while held and (held[0][0] <= start or reserved + size > budget_bytes):
            released_at, released = held.popleft()
            start = max(start, released_at)
            reserved -= released
        reserved += size
        peak = max(peak, reserved)
        total += size
        download_end = start + size / download_rate
        transfer_end = max(transfer_end, download_end) + size / transfer_rate
        held.append((transfer_end, size))
    return Estimate(transfer_end, total / download_rate + total / transfer_rate, peak)


def with_estimated_sizes(selection: Selection) -> Selection:
    """A selection that is not pinned with sizes to plan with: annotations exact, videos their episode's mean."""
    if selection.pinned:
        return selection
    sizes: dict[str, int] = {}
    for episode in selection.episodes:
        videos = [path for path in episode.files if not path.endswith("/annotation.hdf5")]
        sizes.update(dict.fromkeys(videos, episode.video_bytes // max(1, len(videos))))
        sizes.update({path: episode.annotation_bytes for path in episode.files if path not in sizes})
    return replace(
        selection, files=tuple(replace(file, size_bytes=sizes.get(file.path, 0)) for file in selection.files)
    )
