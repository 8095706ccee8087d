"""Cut a selection into shards of about equal bytes, one for each relay that runs beside others."""

from dataclasses import replace

from xperience.common.shards import Shard
from xperience.selection.model import Selection


def share_of(selection: Selection, shard: Shard) -> Selection:
    """A shard's episodes (files, where there are none) in selection order.

    The largest goes first to the shard with the fewest bytes (LPT: at most 4/3 of the best makespan, Graham 1969), so
    that every relay computes the same cut alone.
    """
    if shard.count == 1:
        return selection
    if selection.episodes:
        sizes = {episode.path: episode.size_bytes for episode in selection.episodes}
    else:
        sizes = {file.path: file.size_bytes or 0 for file in selection.files}
    loads = [0] * shard.count
    mine: set[str] = set()
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        least = loads.index(min(loads))
        loads[least] += sizes[path]
        if least == shard.index:
            mine.add(path)
    return replace(
        selection,
        episodes=tuple(episode for episode in selection.episodes if episode.path in mine),
        files=tuple(file for file in selection.files if (file.episode_path or file.path) in mine),
    )
