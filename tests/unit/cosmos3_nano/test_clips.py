import numpy as np
import pytest

from xperience.cosmos3_nano.clips import place_clips

FRAME_NS = 50_000_000


def timeline(frames, *, late=None, interval_ns=FRAME_NS):
    """`late` frame and those behind it come 12 ms later: its interval of two frames is 12 % too long."""
    t_ns = 1_000_000_000 + np.arange(frames, dtype=np.int64) * interval_ns
    if late is not None:
        t_ns[late:] += 12_000_000
    return t_ns


def place(t_ns, lost=(), **more):
    tracked = np.ones(len(t_ns), bool)
    tracked[list(lost)] = False
    return place_clips(t_ns, tracked, **more)


def test_a_clip_is_seventeen_frames_two_apart_and_the_next_one_begins_at_its_end():
    placed = place(timeline(97))
    assert [[*clip.source_frames.tolist()[:2], int(clip.source_frames[-1])] for clip in placed.clips] == [
        [0, 2, 32], [32, 34, 64], [64, 66, 96],
    ]  # fmt: skip
    assert all(len(clip.source_frames) == 17 for clip in placed.clips)
    assert placed.clips[0].median_fps == pytest.approx(10.0)


def test_an_interval_more_than_a_tenth_off_drops_its_clip_and_is_counted():
    placed = place(timeline(97, late=40))
    assert [int(clip.source_frames[0]) for clip in placed.clips] == [0, 64]
    assert placed.off_rate == 1 and placed.untracked == 0


def test_a_slow_clock_within_a_tenth_keeps_its_own_rate():
    placed = place(timeline(33, interval_ns=round(1e9 / 19.35)))
    assert placed.clips[0].median_fps == pytest.approx(9.675, abs=0.001)
    assert place(timeline(33, interval_ns=60_000_000)).off_rate == 1


def test_a_lost_camera_drops_the_clip_only_where_one_of_its_own_frames_is_lost():
    assert place(timeline(33), lost=[5]).untracked == 0  # between two of its frames
    assert place(timeline(33), lost=[6]).untracked == 1


def test_at_most_so_many_clips_evenly_over_the_episode():
    placed = place(timeline(10 * 32 + 1), most=2)
    assert [int(clip.source_frames[0]) for clip in placed.clips] == [64, 224]


def test_longer_clips_for_the_vision_format():
    placed = place(timeline(2 * 60 + 1), frames=61)
    assert len(placed.clips) == 1 and len(placed.clips[0].source_frames) == 61
