"""An exported set of records: its artefact, and the records of a task read back."""

import hashlib
from pathlib import Path
from typing import ClassVar

from xperience.common.errors import BadDataError
from xperience.common.evidence import Evidence
from xperience.cosmos3_nano.records import AnyRecord, read_record
from xperience.cosmos3_nano.tiers import TierSize

ARTEFACT, STATISTICS, OPTIONS = "records.json", "action-statistics.json", "options.json"


class RecordSet(Evidence):
    """What was exported: records by task and split, samples by official format and split, files by hash.

    `tiers`: what a clip becomes, by its pictures' size (height x width) and the tier. `dropped` counts clips and
    records that there could have been, `skipped` episodes; by reason.
    """

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-records/1"

    domain: str
    records: dict[str, dict[str, int]]
    official: dict[str, dict[str, int]]
    files: dict[str, str]
    clips: int
    clip_bytes: int
    tiers: dict[str, dict[int, TierSize]]
    median_fps: dict[str, float]
    dropped: dict[str, int]
    skipped: dict[str, str]
    clamped_share: dict[str, float]
    options: int
    statistics_sha256: str


def read_records(folder: Path, task: str) -> list[AnyRecord]:
    """The records of a task, each checked; BadDataError where the file is not the one that was written."""
    artefact = RecordSet.read(folder / ARTEFACT)
    content = (folder / f"{task}.jsonl").read_bytes()
    if hashlib.sha256(content).hexdigest() != artefact.files[f"{task}.jsonl"]:
        raise BadDataError(
            "records are not those that were written", where=str(folder / f"{task}.jsonl"), fix="Run `export` again."
        )
    return [read_record(line, f"{task}.jsonl:{number}") for number, line in enumerate(content.splitlines(), start=1)]
