"""Files of predictions: a line per record with what drew it; a run that was stopped goes on behind the last one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.evidence import Part
from xperience.common.files import whole_lines
from xperience.cosmos3_nano.records import Record


class DrawnBy(Part):
    """What a prediction depends on beside its record: `steps` are those of a draw, or most tokens of a free text."""

    model_sha256: str
    seed: int
    steps: int
    draws: int = 1


class Line(DrawnBy):
    """One prediction with what drew it. What it is stands in subclasses."""

    record_sha256: str


AnyLine = TypeVar("AnyLine", bound=Line)
AnyTaskRecord = TypeVar("AnyTaskRecord", bound=Record)


def read_lines(path: Path, kind: type[AnyLine]) -> dict[str, AnyLine]:
    """Predictions by record; half a line at the end of a killed run is cut off."""
    try:
        lines = [kind.model_validate_json(line) for line in whole_lines(path, cut=True)]
    except ValidationError as error:
        raise BadDataError("not a prediction", where=str(path), why=str(error.errors()[0]["msg"])) from error
    return {line.record_sha256: line for line in lines}


def predict(
    path: Path, kind: type[AnyLine], records: Sequence[AnyTaskRecord],
    predicted: Callable[[AnyTaskRecord], dict[str, Any]], by: DrawnBy, *, stop: Callable[[], bool] = lambda: False,
) -> int:  # fmt: skip
    """Predict what has no line yet, `predicted` gives a line's own fields; returns how many records have one now.

    ConfigurationError where lines are of another model.
    """
    known = read_lines(path, kind)
    for line in known.values():
        if DrawnBy(**line.model_dump(include=set(DrawnBy.model_fields))) != by:
            raise ConfigurationError(
                "predictions of another model or sampler", where=str(path), fix="Give another --output, or remove them."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    for record in records:
        if record.sha256 in known or stop():
            continue
        line = kind(record_sha256=record.sha256, **by.model_dump(), **predicted(record))
        with path.open("a") as file:
            file.write(line.model_dump_json() + "\n")
        known[record.sha256] = line
    return sum(record.sha256 in known for record in records)


def lines_of(
    records: Sequence[AnyTaskRecord], lines: dict[str, AnyLine], split: str
) -> list[tuple[AnyTaskRecord, AnyLine]]:
    """Each record with its prediction; BadDataError unless every one has one, and there is one."""
    missing = [record.record_id for record in records if record.sha256 not in lines]
    if missing or not records:
        raise BadDataError(
            "predictions are missing", where=missing[0] if missing else split,
            why=f"{len(missing)} of {len(records)}" if records else "no record of this task",
        )  # fmt: skip
    return [(record, lines[record.sha256]) for record in records]
