"""The run's summary: what moved, how fast, how much the legs overlapped, batch by batch, and how it ended."""

from typing import ClassVar, Literal

from xperience.common.evidence import Evidence, Part
from xperience.relay.ledger import ARRIVED, Ledger, LedgerBatch
from xperience.relay.progress import Leg, Progress
from xperience.relay.scratch import Budget

Status = Literal["running", "complete", "downloaded", "failed", "stopped"]


class LegSummary(Part):
    """One leg in this process; `moved_bytes` counts repeats, `bytes_per_second` is over its busy time."""

    moved_bytes: int
    busy_seconds: float
    bytes_per_second: float
    retries: dict[str, int]


class BatchSummary(Part):
    """One batch over all runs of the job; Unix times."""

    index: int
    files: int
    size_bytes: int
    arrived_files: int
    download_seconds: float | None
    transfer_seconds: float | None
    wall_seconds: float | None


class RelaySummary(Evidence):
    """`overlap` is the slower leg's busy time over wall time: 1.0 is a perfect pipeline, 0.5 two legs in turn."""

    SCHEMA: ClassVar[str] = "xperience.relay-summary/1"

    status: Status
    cause: str | None
    repo_id: str
    revision: str
    store: str
    files: int
    size_bytes: int
    arrived_files: int
    arrived_bytes: int
    wall_seconds: float
    overlap: float
    download: LegSummary
    transfer: LegSummary
    hash_mismatches: int
    scratch_budget_bytes: int
    peak_scratch_bytes: int
    batches: list[BatchSummary]


def leg_summary(leg: Leg) -> LegSummary:
    """Figures of a leg that has ended."""
    rate = leg.moved_bytes / leg.busy_seconds if leg.busy_seconds else 0.0
    return LegSummary(
        moved_bytes=leg.moved_bytes,
        busy_seconds=round(leg.busy_seconds, 3),
        bytes_per_second=round(rate),
        retries=dict(leg.retries),
    )


def batch_summaries(batches: list[LedgerBatch]) -> list[BatchSummary]:
    """Per-batch times from the ledger's stamps; a time is None until its batch has ended."""

    def span(first: float | None, last: float | None) -> float | None:
        return round(last - first, 3) if first is not None and last is not None else None

    return [
        BatchSummary(
            index=batch.index,
            files=batch.files,
            size_bytes=batch.size_bytes,
            arrived_files=batch.arrived_files,
            download_seconds=span(batch.download_started_at, batch.downloaded_at),
            transfer_seconds=span(batch.send_started_at, batch.verified_at),
            wall_seconds=span(batch.download_started_at, batch.verified_at),
        )
        for batch in batches
    ]


def summarise(
    status: Status, cause: str | None, job: dict[str, str], ledger: Ledger, progress: Progress, budget: Budget
) -> RelaySummary:
    """The summary of this moment."""
    totals = ledger.totals()
    wall_seconds = progress.wall_seconds
    slower = max(progress.download.busy_seconds, progress.transfer.busy_seconds)
    return RelaySummary(
        inputs={"selection": job.get("selection_sha256", "")},
        status=status,
        cause=cause,
        repo_id=job["repository"],
        revision=job["revision"],
        store=job["store"],
        files=sum(files for files, _ in totals.values()),
        size_bytes=sum(size for _, size in totals.values()),
        arrived_files=sum(totals[state][0] for state in ARRIVED),
        arrived_bytes=sum(totals[state][1] for state in ARRIVED),
        wall_seconds=round(wall_seconds, 3),
        overlap=round(slower / wall_seconds, 4) if wall_seconds else 0.0,
        download=leg_summary(progress.download),
        transfer=leg_summary(progress.transfer),
        hash_mismatches=progress.mismatches,
        scratch_budget_bytes=budget.budget_bytes,
        peak_scratch_bytes=budget.peak_bytes,
        batches=batch_summaries(ledger.batches()),
    )
