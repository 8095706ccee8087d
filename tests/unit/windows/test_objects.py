"""Object names in one spelling, and which of them a window shows."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xperience.episode.captions import parse_caption
from xperience.episode.timeline import Timeline
from xperience.windows.objects import MOST_OBJECTS, canonical, object_labels


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("  The Cardboard  Boxes ", "cardboard box"), ('"a cup"', "cup"), ("paper_cups", "paper cup"),
        ("Scissors", "scissors"), ("glass", "glass"), ("dishes", "dish"), ("vases", "vase"), ("batteries", "battery"),
        ("shelves", "shelf"), ("plastic bags.", "plastic bag"), ("cactus", "cactus"), ("ties", "tie"), ("", ""),
        ("person’s hand", "person s hand"), ("shoes", "shoe"), ("potatoes", "potato"), ("buses", "bus"), ("gas", "gas"),
    ],
)  # fmt: skip
def test_a_name_has_one_spelling(name, expected):
    assert canonical(name) == expected


@given(
    st.lists(
        st.sampled_from(["a", "the", "cups", "Boxes", "knives", "_", "'", "glasses", "dishes", "ties", "shoe"]),
        max_size=5,
    )
)
def test_a_canonical_name_that_is_no_article_stays_as_it_is(words):
    once = canonical(" ".join(words))
    if not once.startswith(("a ", "the ")):
        assert canonical(once) == once


def labelled(frames, objects):
    """Labels of a caption whose one segment names objects at 1-based frames, at 20 frames per second."""
    segment = {"objects": {str(frame): names for frame, names in objects.items()}}
    timeline = Timeline(70_000_000_000_000 + np.arange(frames, dtype=np.int64) * 50_000_000)
    return object_labels(parse_caption(json.dumps({"segments": [segment]})), timeline)


def test_a_sample_speaks_until_the_next_one_and_for_four_seconds_at_most():
    found = labelled(200, {21: ["cups", "A hand"], 41: ["tray"], 500: ["behind the end"]})
    assert found.shown(0, 20) == []
    assert found.shown(20, 40) == ["cup", "hand"]
    assert found.shown(35, 55) == ["tray", "cup", "hand"]  # 15 frames against 5
    assert found.shown(100, 120) == ["tray"]
    assert found.shown(120, 140) == []  # 80 frames behind the sample are 4 s


def test_a_window_shows_eight_objects_at_most_each_once():
    found = labelled(40, {1: [f"thing {chr(97 + n)}" for n in range(12)] + ["Thing A", "thing  a"]})
    assert found.shown(0, 20) == [f"thing {chr(97 + n)}" for n in range(MOST_OBJECTS)]


def test_a_caption_without_objects_shows_none():
    assert labelled(40, {}).shown(0, 20) == []
