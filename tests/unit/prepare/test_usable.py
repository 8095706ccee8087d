"""Verdicts from facts alone."""

import pytest

from xperience.common.errors import UsageError
from xperience.common.layout import VIDEOS
from xperience.prepare.facts import AnnotationFacts, CaptionFacts, MotionFacts, TimelineFacts, VideoFacts
from xperience.prepare.look import SAMPLE_PLACES, SAMPLE_ROWS, sample_slices
from xperience.prepare.usable import EpisodeFacts, Rules, purposes_of, verdict

TIMELINE = TimelineFacts(
    frames=100, first_ns=0, last_ns=1, strictly_increasing=True, frames_per_second=20.0, longest_gap_ms=50
)
CAPTION = CaptionFacts(
    key="caption", inline=True, size_bytes=10, segments=1, actions=2, subtasks=1, resolved_actions=2,
    resolved_subtasks=1, faults=0, labelled_share=1.0, labelled_windows=5,
)  # fmt: skip
MOTION = MotionFacts(
    rows=100, sampled=False, pose_share=1.0, left_hand_share=0.5, right_hand_share=0.5, valid_share=0.5
)
ANNOTATION_FACTS = AnnotationFacts(
    groups=(), missing_groups=(), missing=(), unlike_schema=(), timeline=TIMELINE, caption=CAPTION, motion=MOTION,
    has_stereo_calibration=True, faults=(),
)  # fmt: skip
VIDEO = VideoFacts(
    codec="h264", width=64, height=64, frames=100, duration_ms=5000, frames_per_second=20.0, audio_codec=None,
    audio_rate_hz=None, audio_duration_ms=None,
)  # fmt: skip


def judged(video=VIDEO, **changes):
    annotation = ANNOTATION_FACTS.model_copy(update=changes)
    videos = {name: VIDEO for name in VIDEOS} | {VIDEOS[2]: video}
    facts = EpisodeFacts(
        annotation=annotation, videos={name: found for name, found in videos.items() if found}, faults={}
    )
    return verdict(facts, Rules(least_valid_share=0.5))


@pytest.mark.parametrize(
    ("changes", "usable_for", "reason"),
    [
        pytest.param({}, ("windows", "actions"), "", id="whole"),
        pytest.param({"video": VIDEO.model_copy(update={"frames": 101})}, ("windows", "actions"), "", id="one-frame"),
        pytest.param(
            {"video": VIDEO.model_copy(update={"frames": 102})}, (), "fisheye_cam2.mp4 has 102 frames", id="two-frames"
        ),
        pytest.param(
            {"video": VIDEO.model_copy(update={"counted_frames": 90})}, (), "has 90 frames", id="counted-not-promised"
        ),
        pytest.param(
            {"video": VIDEO.model_copy(update={"frames": None})}, ("windows", "actions"), "", id="not-told"
        ),
        pytest.param({"video": None}, (), "fisheye_cam2.mp4: not there", id="a-video-missing"),
        pytest.param(
            {"timeline": TIMELINE.model_copy(update={"strictly_increasing": False})}, (), "do not increase", id="clock"
        ),
        pytest.param({"timeline": None}, (), "device_timestamp is missing", id="no-timeline"),
        pytest.param(
            {"timeline": None, "faults": ("timeline: no timeline: value 3",)}, (), "value 3", id="broken-timeline"
        ),
        pytest.param({"caption": None}, (), "no caption", id="no-caption"),
        pytest.param(
            {"caption": CAPTION.model_copy(update={"labelled_windows": 0, "resolved_actions": 0})}, (),
            "0 of 2 actions lie on the timeline", id="caption-of-another-clock",
        ),
        pytest.param({"missing_groups": ("slam",), "motion": None}, ("windows",), "slam is missing", id="no-slam"),
        pytest.param({"has_stereo_calibration": False}, ("windows",), "T_c0_b is missing", id="no-calibration"),
        pytest.param(
            {"motion": MOTION.model_copy(update={"valid_share": 0.49})}, ("windows",), "49% of the frames", id="few"
        ),
        pytest.param({"motion": MOTION.model_copy(update={"valid_share": None})}, ("windows",), "lacks", id="joints"),
        pytest.param(
            {"motion": None, "faults": ("motion: rows differ",)}, ("windows",), "rows differ", id="rows-differ"
        ),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_facts_with_its_reason(changes, usable_for, reason):
    found = judged(**changes)
    assert found.usable_for == usable_for
    assert reason in "; ".join(found.reasons["actions"])
    assert bool(found.reasons["actions"]) == bool(reason)
    assert set(found.reasons["windows"]) <= set(found.reasons["actions"])


@pytest.mark.parametrize(
    ("text", "purposes"),
    [("windows", ("windows",)), ("actions, windows", ("windows", "actions")), ("actions", ("actions",))],
)
def test_purposes_are_read_in_any_order(text, purposes):
    assert purposes_of(text) == purposes


@pytest.mark.parametrize("text", ["", ",", "windows,dance"])
def test_other_purposes_are_a_usage_error(text):
    with pytest.raises(UsageError, match="purpose"):
        purposes_of(text)


@pytest.mark.parametrize("frames", [1, 160, 161, 5900, 1_000_000])
def test_sampled_rows_lie_within_the_episode_and_apart(frames):
    slices = sample_slices(frames)
    rows = [row for found in slices for row in range(found.start, found.stop)]
    assert len(rows) == len(set(rows)) == min(frames, SAMPLE_PLACES * SAMPLE_ROWS)
    assert min(rows) >= 0
    assert max(rows) < frames
