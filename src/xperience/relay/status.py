"""A run's state, read from its ledger by another process."""

from typing import ClassVar

from xperience.common.errors import UsageError
from xperience.common.evidence import Evidence, Part
from xperience.relay.ledger import Ledger
from xperience.relay.locks import is_held
from xperience.relay.scratch import Scratch
from xperience.relay.summary import BatchSummary, batch_summaries


class StateCount(Part):
    """Files and bytes in one state."""

    state: str
    files: int
    size_bytes: int


class RelayStatus(Evidence):
    """What the ledger says now, and which legs some process holds."""

    SCHEMA: ClassVar[str] = "xperience.relay-status/1"

    repo_id: str
    revision: str
    store: str
    running_legs: list[str]
    states: list[StateCount]
    batches: list[BatchSummary]


def relay_status(scratch: Scratch) -> RelayStatus:
    """UsageError where no run was begun in this scratch."""
    if not scratch.ledger.exists():
        raise UsageError("no run here", where=str(scratch.root), why="no ledger", fix="Give the run's --relay-root.")
    ledger = Ledger(scratch.ledger, read_only=True)
    try:
        job = ledger.job()
        return RelayStatus(
            repo_id=job.get("repository", ""),
            revision=job.get("revision", ""),
            store=job.get("store", ""),
            running_legs=[leg for leg in ("download", "transfer") if is_held(scratch.root, leg)],
            states=[
                StateCount(state=state, files=count, size_bytes=size)
                for state, (count, size) in ledger.totals().items()
            ],
            batches=batch_summaries(ledger.batches()),
        )
    finally:
        ledger.close()
