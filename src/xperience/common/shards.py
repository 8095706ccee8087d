"""Shards of a long job: which of how many, its share of a list, and what a shard is called."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xperience.common.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Shard:
    """Number `index` of `count`, from 0."""

    index: int = 0
    count: int = 1

    def of(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Its share of the items: every N-th."""
        return tuple(items[self.index :: self.count])

    @property
    def name(self) -> str:
        """As in a report; "" for the whole."""
        return f"{self.index}/{self.count}" if self.count > 1 else ""

    def path(self, output: Path) -> Path:
        """Where its report goes: check.json, or check-0-of-8.json."""
        if self.count == 1:
            return output
        return output.with_name(f"{output.stem}-{self.index}-of-{self.count}{output.suffix}")


def shard_of(text: str, shards: int) -> Shard:
    """`3/8`; or `3` of `shards`, as an Indexed Job numbers its pods; "" is the whole. UsageError for anything else."""
    if not text:
        if shards > 1:
            raise UsageError("which shard?", where="--shards", why="no --shard and no JOB_COMPLETION_INDEX")
        return Shard()
    match = re.fullmatch(r"(\d+)(?:/(\d+))?", text)
    count = int(match[2] or shards) if match else 0
    if match is None or not int(match[1]) < count:
        raise UsageError("no such shard", where="--shard", why=text, fix="Give i/N, from 0 to N-1; see --shards.")
    return Shard(int(match[1]), count)
