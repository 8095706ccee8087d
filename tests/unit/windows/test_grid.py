"""Stored frames on the device's clock: nearest frames, and one number of frames for every window."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xperience.episode.timeline import Timeline
from xperience.windows.grid import grid_of

steps_ms = st.lists(st.integers(1, 400), min_size=0, max_size=120)
rates = st.sampled_from([500, 1000, 2000, 4000, 19_350])


def clock(steps) -> Timeline:
    return Timeline(np.cumsum([70_000_000_000_000, *(step * 1_000_000 for step in steps)], dtype=np.int64))


@given(steps_ms, rates)
def test_every_instant_shows_the_frame_nearest_to_it(steps, rate):
    timeline = clock(steps)
    grid = grid_of(timeline, rate)
    instants = timeline.t_ns[0] + np.round(np.arange(len(grid.source)) * 1e12 / rate).astype(np.int64)
    distances = np.abs(instants[:, None] - timeline.t_ns[None, :])
    assert (np.abs(instants - grid.t_ns) == distances.min(axis=1)).all()
    assert (grid.t_ns == timeline.t_ns[grid.source]).all()
    assert (np.diff(grid.source) >= 0).all()
    left_over = int(timeline.t_ns[-1]) - int(instants[-1])
    assert left_over + 1 >= 0
    assert left_over < 1e12 / rate + 1


@given(steps_ms.filter(lambda steps: len(steps) > 2), rates, st.data())
@settings(max_examples=80)
def test_a_window_gets_the_same_number_of_frames_wherever_it_lies(steps, rate, data):
    timeline = clock(steps)
    grid = grid_of(timeline, rate)
    first = data.draw(st.integers(0, timeline.frames - 2))
    last = data.draw(st.integers(first + 1, timeline.frames - 1))
    context_ms = 3000
    begin, count = grid.range_for(int(timeline.t_ns[first]), int(timeline.t_ns[last]), context_ms)
    assert begin >= 0
    assert begin + count <= len(grid.source)
    longer = (int(timeline.t_ns[last]) - int(timeline.t_ns[first])) / 1e6 > context_ms - 1e6 / rate
    if not longer:
        assert count == min(max(round(context_ms * rate / 1e6), 1), len(grid.source))
    start_ns, stop_ns = grid.span_ns(begin, count)
    middle = (int(timeline.t_ns[first]) + int(timeline.t_ns[last])) / 2
    period = 1e12 / rate
    assert start_ns - period <= middle <= stop_ns + period


def test_a_long_window_is_covered_whole():
    timeline = clock([50] * 400)
    grid = grid_of(timeline, 2000)
    first, count = grid.range_for(int(timeline.t_ns[100]), int(timeline.t_ns[300]), 6000)
    assert (first, count) == (10, 21)
    assert grid.source[first] <= 100
    assert grid.source[first + count - 1] >= 300


def test_the_context_is_shifted_and_not_cut_at_both_ends():
    timeline = clock([50] * 399)
    grid = grid_of(timeline, 2000)
    assert grid.range_for(int(timeline.t_ns[0]), int(timeline.t_ns[19]), 6000) == (0, 12)
    assert grid.range_for(int(timeline.t_ns[380]), int(timeline.t_ns[399]), 6000) == (len(grid.source) - 12, 12)
    assert grid.range_for(int(timeline.t_ns[200]), int(timeline.t_ns[219]), 6000) == (
        15,
        12,
    )  # 7.5 to 13 s around 10.475 s
