"""What probe and check say of each episode: read from their evidence."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from xperience.common.evidence import View, ViewPart

PROBE_SCHEMA = "xperience.probe/1"
CHECK_SCHEMA = "xperience.check/1"


class FileVerdict(ViewPart):
    """One file as `prepare check` read it; `sha256` is None where it could not be read."""

    sha256: str | None = None
    fault: str = ""


class VerdictView(ViewPart):
    """Purposes that an episode is fit for, and the reasons against the others by purpose."""

    usable_for: list[str]
    reasons: dict[str, list[str]] = Field(default_factory=dict)


class TimelineView(ViewPart):
    """The episode's timeline."""

    frames: int


class AnnotationView(ViewPart):
    """What the annotation says."""

    timeline: TimelineView | None = None


class FactsView(ViewPart):
    """What was found in the files."""

    annotation: AnnotationView | None = None


class EpisodeVerdict(ViewPart):
    """One episode; `intact`, of check alone: its seven files are those of the transfer."""

    path: str
    intact: bool = True
    verdict: VerdictView
    facts: FactsView = FactsView()
    files: dict[str, FileVerdict] = Field(default_factory=dict)

    @property
    def usable(self) -> dict[str, bool]:
        """Purpose to verdict, of every purpose that was judged."""
        named = sorted({*self.verdict.reasons, *self.verdict.usable_for})
        return {purpose: purpose in self.verdict.usable_for for purpose in named}

    @property
    def why_not(self) -> list[str]:
        """Every reason, once, in order of weight."""
        return list(dict.fromkeys(reason for reasons in self.verdict.reasons.values() for reason in reasons))

    @property
    def frames(self) -> int | None:
        """Frames of the timeline."""
        annotation = self.facts.annotation
        return annotation.timeline.frames if annotation and annotation.timeline else None


class ProbeView(View):
    """`prepare probe`: by range reads at the hub."""

    SCHEMA: ClassVar[str] = PROBE_SCHEMA
    episodes: list[EpisodeVerdict]


class CheckView(View):
    """`prepare check`: on staged files, read in full."""

    SCHEMA: ClassVar[str] = CHECK_SCHEMA
    episodes: list[EpisodeVerdict]


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
