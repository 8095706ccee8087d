"""What probe and check say of each episode. They write it, and every stage may read it: relay, manifest, gates."""

from typing import ClassVar

from pydantic import Field

from xperience.common.evidence import View, ViewPart


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
    """`prepare probe`: by range reads at the hub, at one revision; `purposes` are those that had to be fit for."""

    SCHEMA: ClassVar[str] = "xperience.probe/1"

    repo_id: str
    revision: str
    purposes: list[str]
    episodes: list[EpisodeVerdict]


class CheckView(View):
    """`prepare check`: on staged files, read in full."""

    SCHEMA: ClassVar[str] = "xperience.check/1"

    episodes: list[EpisodeVerdict]
