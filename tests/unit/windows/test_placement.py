"""Where windows lie, and which ones a cap keeps: properties over random labels, clocks and counts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xperience.common.errors import UsageError
from xperience.episode.labels import NONE, FrameLabels, majority
from xperience.episode.timeline import Timeline
from xperience.windows.placement import Place, capped, evenly, place_windows
from xperience.windows.recipe import LabelRecipe, Scale, scales_of

FRAME_NS = 50_000_000
runs_of_labels = st.lists(st.tuples(st.integers(-1, 3), st.integers(1, 30)), min_size=1, max_size=12)
scales = st.lists(st.tuples(st.integers(1, 25), st.integers(1, 25)), min_size=1, max_size=3, unique_by=lambda s: s[0])


def recipe(*pairs, longest_gap_ms=1000, cap=256, least_share=0.6) -> LabelRecipe:
    return LabelRecipe(
        scales=tuple(Scale(frames=frames, stride=stride) for frames, stride in pairs), least_share=least_share,
        longest_gap_ms=longest_gap_ms, cap=cap, context_ms=6000, contact_threshold=0.5,
    )  # fmt: skip


def labels(runs) -> FrameLabels:
    return FrameLabels(("a", "b", "c", "d"), np.repeat([c for c, _ in runs], [n for _, n in runs]).astype(np.int32))


def clock(frames, *, hole_after=None, hole_ns=0) -> Timeline:
    times = 70_000_000_000_000 + np.arange(frames, dtype=np.int64) * FRAME_NS
    if hole_after is not None:
        times[hole_after + 1 :] += hole_ns
    return Timeline(times)


@given(runs_of_labels, scales)
def test_every_window_with_a_majority_is_placed_and_no_other(runs, pairs):
    found = labels(runs)
    expected = []
    for frames, stride in pairs:
        for first in range(0, len(found.codes), stride):
            inside = [code for code in found.codes[first : first + frames].tolist() if code != NONE]
            if first + frames > len(found.codes) or not inside:
                continue
            code, count = min(Counter(inside).items(), key=lambda item: (-item[1], item[0]))
            if count / len(inside) >= 0.6:
                expected.append(Place(first, frames, found.vocabulary[code], count / len(inside)))
    placed = place_windows(found, clock(len(found.codes)), recipe(*pairs))
    assert placed.places == tuple(sorted(expected))
    assert placed.over_gap == 0


@given(st.integers(40, 200), st.integers(0, 198), st.integers(1, 30))
def test_a_window_across_a_hole_of_the_clock_is_left_out_and_counted(frames, hole_after, length):
    hole_after = min(hole_after, frames - 2)
    found = FrameLabels(("a",), np.zeros(frames, np.int32))
    with_hole = place_windows(found, clock(frames, hole_after=hole_after, hole_ns=2 * 10**9), recipe((length, length)))
    across = [p for p in range(0, frames - length + 1, length) if p <= hole_after < p + length - 1]
    assert with_hole.over_gap == len(across)
    assert not {place.first for place in with_hole.places} & set(across)
    assert len(with_hole.places) + len(across) == frames // length


@given(st.integers(0, 2000), st.integers(1, 300))
def test_an_even_choice_takes_the_middle_of_each_of_so_many_equal_strata(count, most):
    chosen = evenly(count, most)
    assert len(chosen) == min(count, most)
    assert list(chosen) == sorted(set(chosen))
    for number, place in enumerate(chosen):
        assert place <= (number + 0.5) * count / len(chosen) < place + 1


places = st.lists(
    st.builds(Place, first=st.integers(0, 5000), frames=st.sampled_from([20, 40, 80]), action=st.just("a"),
              share=st.just(1.0)),
    unique_by=lambda place: (place.first, place.frames), max_size=200,
)  # fmt: skip


@given(places, st.integers(1, 60), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_cap_keeps_a_fair_share_of_each_scale_in_time_order_whatever_the_order_of_its_input(found, most, random):
    kept = capped(found, most)
    shuffled = list(found)
    random.shuffle(shuffled)
    if len(found) > most:
        assert capped(shuffled, most) == kept
        assert list(kept) == sorted(kept)
    assert len(kept) == min(len(found), most)
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(found)
    for frames in {place.frames for place in found}:
        fair = sum(place.frames == frames for place in found) * len(kept) / len(found)
        assert abs(sum(place.frames == frames for place in kept) - fair) < 1


def test_the_cap_reaches_from_the_start_to_the_end_of_an_episode_and_is_not_biased_to_starts():
    found = [Place(first, 20, "a", 1.0) for first in range(0, 5900, 20)]
    kept = [place.first for place in capped(found, 100)]
    assert kept[0] < 60
    assert kept[-1] > 5900 - 80
    assert abs(np.mean(kept) - np.mean([place.first for place in found])) < 20
    assert set(np.diff(kept)) <= {40, 60}


def test_the_majority_of_equals_is_the_first_label_and_nothing_has_none():
    assert majority(np.array([1, 0, 1, 0], np.int32)) == (0, 0.5)
    assert majority(np.array([NONE, NONE], np.int32)) == (NONE, 0.0)
    assert majority(np.array([NONE, 2, 2, 1], np.int32)) == (2, 2 / 3)


def test_scales_are_read_and_sorted():
    assert scales_of("40/20, 20/10") == (Scale(frames=20, stride=10), Scale(frames=40, stride=20))


@pytest.mark.parametrize("text", ["", "20", "20/0", "0/20", "20/20,20/10", "a/b", "-1/2"])
def test_scales_that_are_none_are_refused(text):
    with pytest.raises(UsageError):
        scales_of(text)
