"""The compatibility record: what was measured, what it has to be, and the verdict; bound to one model's hash."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from xperience.common.evidence import Evidence, Part

Level = Literal["L0", "L1", "L2"]
Verdict = Literal["pass", "fail", "not_run"]
TINY = "tiny"
WORST_FIRST: tuple[Verdict, ...] = ("fail", "not_run", "pass")
NAMES = (
    "files", "versions", "config", "load", "preprocess video", "preprocess action", "time alignment", "prompt",
    "forward", "finite", "decode", "conditioning works", "determinism", "reasoner", "golden", "latency", "memory",
    "output schema", "faults", "trainability", "gate",
)  # fmt: skip


class CheckRow(Part):
    """One check. `measured` are its figures, `threshold` says what they have to be; `evidence_sha256` is their hash."""

    number: int = Field(ge=1, le=len(NAMES))
    name: str
    level: Level
    measured: dict[str, Any]
    threshold: str
    verdict: Verdict
    reason: str
    evidence_sha256: str


class CompatibilityRecord(Evidence):
    """All 21 rows; of several workers each has done all of them on its share of `clips`.

    `levels` are pass, fail or not_run(reason); those of `required_levels` open the gate.
    """

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-compatibility/1"

    model: str
    model_sha256: str
    required_levels: list[Level]
    levels: dict[str, str]
    clips: list[str]
    checks: list[CheckRow]
    host: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What a check found: its figures, and every way in which they are not as they should be."""

    figures: dict[str, Any]
    faults: Sequence[str]


@dataclass(frozen=True)
class Check:
    """A row's number, its level, what has to hold, and how it is measured."""

    number: int
    level: Level
    threshold: str
    run: Callable[[Any], Measured]


class NotRunError(Exception):
    """A check that lacks what it would measure; its text is the reason."""


def row_of(check: Check, subject: Any) -> CheckRow:
    """Run it; what it raises is a failure with its reason, never the end of the others."""
    try:
        found = check.run(subject)
    except NotRunError as lacks:
        return row_not_run(check.number, check.level, check.threshold, str(lacks))
    except Exception as error:
        found = Measured({"error": type(error).__name__}, [f"{type(error).__name__}: {error}"[:300]])
    verdict: Verdict = "fail" if found.faults else "pass"
    return _row(check.number, check.level, check.threshold, found.figures, verdict, "; ".join(found.faults))


def row_not_run(number: int, level: Level, threshold: str, reason: str) -> CheckRow:
    """A check that did not run, and why."""
    return _row(number, level, threshold, {}, "not_run", reason)


def _row(number: int, level: Level, threshold: str, figures: dict[str, Any], verdict: Verdict, reason: str) -> CheckRow:
    told = json.dumps([number, figures, threshold, verdict], sort_keys=True, ensure_ascii=False)
    return CheckRow(
        number=number, name=NAMES[number - 1], level=level, measured=figures, threshold=threshold, verdict=verdict,
        reason=reason,
        evidence_sha256=hashlib.sha256(told.encode()).hexdigest(),
    )  # fmt: skip


def of_all_workers(found: Sequence[Sequence[CheckRow]]) -> list[CheckRow]:
    """The rows of several workers as one list: a row fails where any worker's does, and passes where all do."""
    if len(found) == 1:
        return list(found[0])
    rows = []
    for same in zip(*found, strict=True):
        verdict = next(name for name in WORST_FIRST if name in {row.verdict for row in same})
        reasons = [f"worker {n}: {row.reason}" for n, row in enumerate(same) if row.reason]
        alike = {row.reason for row in same}
        rows.append(
            _row(
                same[0].number, same[0].level, same[0].threshold,
                {f"worker {n}": row.measured for n, row in enumerate(same) if row.measured}, verdict,
                same[0].reason if len(alike) == 1 else "; ".join(reasons),
            )
        )  # fmt: skip
    return rows


def levels_of(rows: Sequence[CheckRow]) -> dict[str, str]:
    """A level passes when each of its rows does; L2 is post-training, which has a record of its own."""
    found = {"L2": "not_run(post-training is not part of this record)"}
    for level in ("L0", "L1"):
        of_level = [row for row in rows if row.level == level]
        left = [row for row in of_level if row.verdict == "not_run"]
        if any(row.verdict == "fail" for row in of_level):
            found[level] = "fail"
        elif left or not of_level:
            found[level] = f"not_run({left[0].reason if left else 'no check of it'})"
        else:
            found[level] = "pass"
    return dict(sorted(found.items()))


def required_levels(model: str) -> list[Level]:
    """Of the tiny model L0; of real weights L0 and L1."""
    return ["L0"] if model == TINY else ["L0", "L1"]
