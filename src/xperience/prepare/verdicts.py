"""The verdicts on each episode: check's stand before probe's."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from xperience.common.verdicts import CheckView, EpisodeVerdict, ProbeView


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts by episode path; check's stand before probe's. `sources` holds the content hashes."""

    by_path: dict[str, EpisodeVerdict] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    read_in_full: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether there is any evidence at all."""
        return bool(self.sources)

    def usable_for(self, path: str, purposes: Iterable[str]) -> bool | None:
        """Fit for every purpose; None where nobody looked."""
        verdict = self.by_path.get(path)
        return None if verdict is None else all(verdict.usable.get(purpose, False) for purpose in purposes)


def read_verdicts(probe_json: Path | None, check_json: Path | None) -> Verdicts:
    """Read what is given; BadDataError where a given file is not what it has to be."""
    by_path: dict[str, EpisodeVerdict] = {}
    sources: dict[str, str] = {}
    read_in_full: frozenset[str] = frozenset()
    if probe_json is not None:
        probe = ProbeView.read(probe_json)
        sources["probe"] = probe.content_sha256
        by_path |= {episode.path: episode for episode in probe.episodes}
    if check_json is not None:
        check = CheckView.read(check_json)
        sources["check"] = check.content_sha256
        by_path |= {episode.path: episode for episode in check.episodes}
        read_in_full = frozenset(episode.path for episode in check.episodes)
    return Verdicts(by_path, sources, read_in_full)
