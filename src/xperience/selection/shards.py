"""Cut a selection into shards of about equal bytes, one for each relay that runs beside others."""

import re
from dataclasses import dataclass, replace
from typing import Self

from xperience.common.errors import UsageError
from xperience.selection.model import Selection


@dataclass(frozen=True, slots=True)
class Shard:
    """Which share of how many, counted from 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str, count: int = 1) -> Self:
        """From `0/2`, or `0` of `count` as an Indexed Job numbers its pods; an empty text, or `0` of 1, is the whole.

        UsageError where it is neither.
        """
        if count == 1 and text in ("", "0"):
            return cls()
        match = re.fullmatch(r"(\d{1,4})(?:/(\d{1,4}))?", text)
        of = int(match[2] or (count if count > 1 else 0)) if match else 0
        if match is None or int(match[1]) >= of:
            raise UsageError(
                "not a shard", where=f"--shard {text}", why="expected INDEX/COUNT, INDEX from 0",
                fix="E.g. 0/2 and 1/2.",
            )  # fmt: skip
        return cls(int(match[1]), of)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, selection: Selection) -> Selection:
        """This shard's episodes (files, where there are none) in selection order.

        The largest goes first to the shard with the fewest bytes (LPT: at most 4/3 of the best makespan, Graham 1969),
        so that every relay computes the same cut alone.
        """
        if self.count == 1:
            return selection
        if selection.episodes:
            sizes = {episode.path: episode.size_bytes for episode in selection.episodes}
        else:
            sizes = {file.path: file.size_bytes or 0 for file in selection.files}
        loads = [0] * self.count
        mine: set[str] = set()
        for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
            least = loads.index(min(loads))
            loads[least] += sizes[path]
            if least == self.index:
                mine.add(path)
        return replace(
            selection,
            episodes=tuple(episode for episode in selection.episodes if episode.path in mine),
            files=tuple(file for file in selection.files if (file.episode_path or file.path) in mine),
        )
