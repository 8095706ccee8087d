import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xperience.episode.timeline import TimelineError, timeline_of

NS = 10**9


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.array([5, 7, 9]), id="int64"),
        pytest.param(np.array([5, 7, 9], dtype=np.uint64), id="uint64"),
        pytest.param(np.array([5.0, 7.0, 9.0]), id="whole-floats"),
        pytest.param(np.array([b"5", b"7", b"9"], dtype="S20"), id="bytes"),
        pytest.param(np.array([b"5.jpg", b"7.jpg", b"9.jpg"]), id="image-names"),
        pytest.param(np.array(["5", b"7", "9"], dtype=object), id="variable-length"),
        pytest.param(np.array([[5], [7], [9]]), id="column"),
    ],
)
def test_timestamps_are_read_in_every_type_that_files_have(values):
    assert timeline_of(values).t_ns.tolist() == [5, 7, 9]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param(np.array(5), "shape", id="scalar"),
        pytest.param(np.array([]), "shape", id="empty"),
        pytest.param(np.ones((3, 2)), "shape", id="matrix"),
        pytest.param(np.array([1.5, 2.0]), "whole", id="fractions"),
        pytest.param(np.array([1.0, np.nan]), "whole", id="nan"),
        pytest.param(np.array([1e300]), "whole", id="huge-float"),
        pytest.param(np.array([2**64 - 1], dtype=np.uint64), "no time", id="huge-integer"),
        pytest.param(np.array([b"5", b"x"]), "value 1", id="no-digits"),
        pytest.param(np.array([b"5", b"9" * 40]), "value 1", id="too-many-digits"),
        pytest.param(np.array([b"1" * 100]), "value 0", id="long-text"),
        pytest.param(np.array([-1, 5]), "no time", id="negative"),
        pytest.param(np.array([None], dtype=object), "value 0", id="nothing"),
        pytest.param(np.array([True]), "type", id="booleans"),
    ],
)
def test_what_is_no_timestamp_is_refused(values, why):
    with pytest.raises(TimelineError, match=why):
        timeline_of(values)


def test_the_rate_is_that_of_the_clock_and_a_gap_does_not_change_it():
    timeline = timeline_of(np.cumsum([NS, *[NS // 16] * 20, 3 * NS, *[NS // 16] * 20]))
    assert timeline.frames_per_second == 16
    assert timeline.longest_gap_seconds == 3


@pytest.mark.parametrize(
    ("times", "increasing"),
    [([1, 2, 3], True), ([1], True), ([1, 1, 2], False), ([3, 2, 1], False)],
)
def test_a_clock_that_stands_or_goes_back_is_seen(times, increasing):
    assert timeline_of(np.array(times)).strictly_increasing is increasing


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50, unique=True), st.integers(0, 2**62))
def test_the_nearest_frame_is_nearest_whatever_the_order_of_the_timestamps(times, asked):
    timeline = timeline_of(np.array(times, dtype=np.int64))
    found = timeline.nearest(asked)
    if found is None:
        assert asked < min(times) - NS or asked > max(times) + NS
    else:
        assert abs(times[found] - asked) == min(abs(time - asked) for time in times)


@given(st.lists(st.integers(1, 10**10), min_size=2, max_size=100), st.sampled_from(["S20", "int64", "column"]))
def test_a_timeline_is_the_same_from_bytes_and_from_integers(steps, spelling):
    times = np.cumsum(np.array(steps, dtype=np.int64))
    written = times[:, None] if spelling == "column" else times.astype(spelling)
    timeline = timeline_of(written)
    assert (timeline.t_ns == times).all()
    assert timeline.strictly_increasing
