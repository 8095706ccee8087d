"""A dry run: the whole plan with nothing done."""

import shlex
from typing import ClassVar

from xperience.common.evidence import Evidence, Part
from xperience.common.settings.relay import RelayRunSettings
from xperience.relay.plan import check_scratch, estimate, with_estimated_sizes
from xperience.relay.run import batches_of, configured_budget_bytes
from xperience.selection.model import Selection


class PlannedBatch(Part):
    """One batch; `first` and `last` are files in the order in which they move."""

    index: int
    episodes: int
    files: int
    size_bytes: int
    first: str
    last: str


class DryRun(Evidence):
    """What a run would do; times are reckoned at the given rates."""

    SCHEMA: ClassVar[str] = "xperience.relay-dry-run/1"

    status: str = "dry-run"
    repo_id: str
    revision: str
    store: str
    pinned: bool
    files: int
    size_bytes: int
    batches: list[PlannedBatch]
    scratch_budget_bytes: int
    peak_scratch_bytes: int
    download_mb_per_second: float
    transfer_mb_per_second: float
    pipeline_seconds: float
    sequential_seconds: float
    commands: list[str]


def dry_run(selection: Selection, settings: RelayRunSettings) -> DryRun:
    """Plan under these settings; NoSpaceError where the run could not end under its budget."""
    budget_bytes = configured_budget_bytes(settings)
    check_scratch(selection, budget_bytes, delete_after_transfer=settings.delete_after_transfer)
    batches = batches_of(with_estimated_sizes(selection), settings)
    times = estimate(
        (file.size_bytes or 0 for batch in batches for file in batch.files),
        budget_bytes=budget_bytes,
        download_rate=settings.assume_download_mb_per_second * 1e6,
        transfer_rate=settings.assume_transfer_mb_per_second * 1e6,
    )
    store = settings.store or f"{settings.transfer_host}:{settings.transfer_root}"
    return DryRun(
        inputs={"selection": selection.source_sha256},
        repo_id=selection.repo_id,
        revision=selection.revision,
        store=store,
        pinned=selection.pinned,
        files=len(selection.files),
        size_bytes=selection.size_bytes,
        batches=[
            PlannedBatch(
                index=batch.index, episodes=len(batch.episodes), files=len(batch.files), size_bytes=batch.size_bytes,
                first=batch.files[0].path, last=batch.files[-1].path,
            )
            for batch in batches
        ],
        scratch_budget_bytes=budget_bytes,
        peak_scratch_bytes=times.peak_scratch_bytes,
        download_mb_per_second=settings.assume_download_mb_per_second,
        transfer_mb_per_second=settings.assume_transfer_mb_per_second,
        pipeline_seconds=round(times.seconds, 1),
        sequential_seconds=round(times.sequential_seconds, 1),
        commands=_commands(selection, settings),
    )  # fmt: skip


def _commands(selection: Selection, settings: RelayRunSettings) -> list[str]:
    """What a run starts and calls, in words that can be tried by hand."""
    kind = "datasets/" if selection.repo_type == "dataset" else ""
    file = selection.files[0].path
    return [
        f"GET {settings.hf_endpoint}/{kind}{selection.repo_id}/resolve/{selection.revision}/{file} "
        f"in ranges of {settings.download_range_mib} MiB over {settings.download_streams} streams",
        f"rclone rcd --rc-addr unix://{shlex.quote(str(settings.rclone_socket or 'a private socket'))} --rc-no-auth …",
        f"operations/copyfile {settings.relay_root}/data/{file} → {settings.store or settings.transfer_root}/{file} "
        f"over {settings.chunk_parallel} connections in all, ranges of {settings.chunk_size_mib} MiB",
        "the store's own hash of every file, compared with the hub's; then its scratch copy is "
        + ("released" if settings.delete_after_transfer else "kept"),
        "the transfer manifest, last",
    ]
