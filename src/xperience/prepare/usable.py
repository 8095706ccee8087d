"""Whether an episode is fit for a purpose, why not, and what it is still good for: facts in, reasons out."""

from collections.abc import Mapping
from typing import Literal, Self, get_args

from xperience.common.errors import UsageError
from xperience.common.layout import ANNOTATION, VIDEOS
from xperience.prepare.facts import AnnotationFacts, Facts, VideoFacts
from xperience.prepare.workers import Look

Purpose = Literal["windows", "actions"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
PARTS = ("videos", "labels", "motion")
MOST_FRAMES_APART = 1


class Rules(Facts):
    """`least_valid_share`: of the frames, with a pose of the head and a visible hand, that `actions` needs."""

    least_valid_share: float


class EpisodeFacts(Facts):
    """What was found in each file; a file without facts has its fault."""

    annotation: AnnotationFacts | None = None
    videos: dict[str, VideoFacts]
    faults: dict[str, str]

    @classmethod
    def of(cls, looks: Mapping[str, Look]) -> Self:
        """From what came of each file, by its name; the annotation is one of them."""
        return cls(
            annotation=looks[ANNOTATION].annotation,
            videos={name: look.video for name, look in looks.items() if look.video is not None},
            faults={name: look.fault for name, look in looks.items() if look.fault},
        )


class Verdict(Facts):
    """`reasons` by purpose, in order of weight; a purpose without any is in `usable_for`.

    `good_for` is `usable_for`, or what can be used without the rest: videos, labels, motion.
    """

    usable_for: tuple[Purpose, ...]
    good_for: tuple[str, ...]
    reasons: dict[str, tuple[str, ...]]


def purposes_of(text: str) -> tuple[Purpose, ...]:
    """`windows,actions` as purposes; UsageError for any other word."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = sorted(set(words) - set(PURPOSES))
    if unknown or not words:
        raise UsageError(
            "unknown purpose", where="--purposes", why=", ".join(unknown) or "none is named",
            fix=f"Name {' or '.join(PURPOSES)}, or both with a comma.",
        )  # fmt: skip
    return tuple(purpose for purpose in PURPOSES if purpose in words)


def verdict(facts: EpisodeFacts, rules: Rules) -> Verdict:
    """Judge an episode for every purpose."""
    videos, timeline = _against_videos(facts), _against_timeline(facts)
    labels, motion = _against_labels(facts), _against_motion(facts, rules)
    windows = (*timeline, *videos, *(labels if not timeline else ()))
    reasons: dict[Purpose, tuple[str, ...]] = {
        "windows": windows, "actions": (*windows, *(motion if facts.annotation is not None else ())),
    }  # fmt: skip
    usable = tuple(purpose for purpose in PURPOSES if not reasons[purpose])
    sound = {"videos": not videos, "labels": not (labels or timeline), "motion": not (motion or timeline)}
    return Verdict(
        usable_for=usable,
        good_for=usable or tuple(part for part in PARTS if sound[part]),
        reasons={purpose: reasons[purpose] for purpose in PURPOSES},
    )


def _fault_about(facts: AnnotationFacts, what: str) -> str | None:
    return next((fault for fault in facts.faults if fault.startswith(f"{what}: ")), None)


def _against_timeline(facts: EpisodeFacts) -> tuple[str, ...]:
    found = facts.annotation
    if found is None:
        return (f"{ANNOTATION}: {facts.faults.get(ANNOTATION, 'not there')}",)
    if found.timeline is None:
        return (_fault_about(found, "timeline") or "video/device_timestamp is missing",)
    if not found.timeline.strictly_increasing:
        return ("its timestamps do not increase from frame to frame",)
    return ()


def _against_videos(facts: EpisodeFacts) -> tuple[str, ...]:
    reasons = []
    timeline = facts.annotation.timeline if facts.annotation is not None else None
    for name in VIDEOS:
        video = facts.videos.get(name)
        if video is None:
            reasons.append(f"{name}: {facts.faults.get(name, 'not there')}")
            continue
        frames = video.frames if video.counted_frames is None else video.counted_frames
        if timeline is not None and frames is not None and abs(frames - timeline.frames) > MOST_FRAMES_APART:
            reasons.append(f"{name} has {frames} frames, the timeline {timeline.frames}")
    return tuple(reasons)


def _against_labels(facts: EpisodeFacts) -> tuple[str, ...]:
    found = facts.annotation
    if found is None:
        return ("no annotation",)
    if found.caption is None:
        return (_fault_about(found, "caption") or "it has no caption",)
    if found.caption.labelled_windows == 0:
        caption = found.caption
        return (
            f"its caption gives no labelled window: {caption.resolved_actions} of {caption.actions} actions lie on the"
            " timeline",
        )
    return ()


def _against_motion(facts: EpisodeFacts, rules: Rules) -> tuple[str, ...]:
    found = facts.annotation
    if found is None:
        return ("no annotation",)
    missing = tuple(f"{group} is missing" for group in ("slam", "hand_mocap") if group in found.missing_groups)
    if not found.has_stereo_calibration:
        missing += (_fault_about(found, "calibration") or "calibration/cam01/T_c0_b is missing",)
    if missing or found.timeline is None:
        return missing
    if found.motion is None:
        return (_fault_about(found, "motion") or "its motion cannot be read",)
    if found.motion.valid_share is None:
        return ("slam or hand_mocap lacks its poses or joints",)
    if found.motion.valid_share < rules.least_valid_share:
        return (
            f"head and a hand are valid in {found.motion.valid_share:.0%} of the frames,"
            f" {rules.least_valid_share:.0%} are needed",
        )
    return ()
