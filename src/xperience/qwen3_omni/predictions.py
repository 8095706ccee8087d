"""Files of answers: who made them, then a line per window; resumed by line, gathered with their ids checked."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.evidence import Part
from xperience.common.files import sha256_of_file, whole_lines
from xperience.qwen3_omni.grammar import closed_sets, is_valid
from xperience.qwen3_omni.prompt import template_sha256
from xperience.qwen3_omni.sample import SampleFacts
from xperience.training.merging import ADAPTER_WEIGHTS


class MadeBy(Part):
    """First line of a file of answers: what an answer depends on. `adapter` is empty for the base model alone."""

    windows: str
    base: str
    adapter: str
    prompt: str
    dtype: str


def made_by(*, windows: str, base: str, adapter: Path | None, dtype: str) -> MadeBy:
    """The identities of now; `base` is that of the base model's files."""
    return MadeBy(
        windows=windows, base=base,
        adapter=sha256_of_file(adapter / ADAPTER_WEIGHTS) if adapter else "", prompt=template_sha256(), dtype=dtype,
    )  # fmt: skip


def begin(path: Path, by: MadeBy) -> set[str]:
    """Ids that the file has answers of; writes its first line where it is new. RefusedError where another model wrote.

    Half a line at the end of a killed run is cut off.
    """
    lines = whole_lines(path, cut=True)
    if lines:
        _check_same(path, MadeBy.model_validate_json(lines[0]), by)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(by.model_dump_json() + "\n")
    return answered(path)


def answered(path: Path) -> set[str]:
    """Ids that a file has answers of, if it is there."""
    return {json.loads(line)["id"] for line in whole_lines(path)[1:]}


def append(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines, on disk at once."""
    with path.open("a") as file:
        file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def gathered(
    paths: Sequence[Path], facts: Sequence[SampleFacts], by: MadeBy, vocabulary: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Answers of all shards by id; BadDataError unless they are exactly those of `facts`, each once and valid."""
    found: dict[str, dict[str, Any]] = {}
    values = {name: set(known) for name, known in closed_sets(vocabulary).items()}
    objects = set(vocabulary["objects"])
    for path in paths:
        lines = whole_lines(path)
        if lines:
            _check_same(path, MadeBy.model_validate_json(lines[0]), by)
        for line in map(json.loads, lines[1:]):
            if line["id"] in found:
                raise BadDataError("a window was answered twice", where=str(path), why=line["id"])
            if not is_valid(line["answer"], values, objects):
                raise BadDataError(
                    "an answer is not valid", where=f"{path}: {line['id']}", why=str(line["answer"])[:200]
                )
            found[line["id"]] = line
    wanted = {fact.id for fact in facts}
    if wanted != set(found):
        raise BadDataError(
            "the answers are not those of the test windows", where=str(paths[0].parent if paths else ""),
            why=f"{len(wanted - set(found))} are missing, {len(set(found) - wanted)} are of other windows",
            fix="Run the missing shards of `qwen3-omni evaluate`; remove predictions of other windows.",
        )  # fmt: skip
    return found


def _check_same(path: Path, found: MadeBy, by: MadeBy) -> None:
    differing = [name for name in MadeBy.model_fields if getattr(found, name) != getattr(by, name)]
    if differing:
        raise RefusedError(
            "answers of another model or of other windows", where=str(path), why=f"another {', '.join(differing)}",
            fix="Move the file away, or give another --output.",
        )  # fmt: skip
