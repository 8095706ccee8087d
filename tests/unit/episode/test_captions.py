import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xperience.common.errors import ExitCode
from xperience.episode.captions import CaptionError, frame_of, parse_caption, resolve_caption
from xperience.episode.labels import filled_labels, labelled_windows, literal_labels
from xperience.episode.timeline import Timeline, timeline_of
from xperience.standin.captions import SPELLINGS, caption, reference

START = 82_777_404_821_554


def clock(frames: int, step: int = 50_000_000) -> Timeline:
    return timeline_of(np.arange(START, START + frames * step, step, dtype=np.int64))


def caption_of(*actions, start="frame_0000001", end="frame_0000101", subtask="Sorting"):
    listed = [{"label": label, "start_frame": first, "end_frame": last} for label, first, last in actions]
    segment = {"start_frame": start, "end_frame": end, "Sub Task": subtask, "Current Action": listed}
    return parse_caption(json.dumps({"config": {"Main Task": "Sort"}, "segments": [segment]}))


EXAMPLE = {
    "config": {"Main Task": "Sorting screws into trays"},
    "segments": [
        {
            "segment_id": 0,
            "start_frame": "81000000000000",
            "end_frame": "81019950000000",
            "Sub Task": "Sorting small screws",
            "Current Action": [
                {"label": "Pick up screw", "description": "One screw.", "start_frame": 81000000000000, "end_frame": 9},
                {"label": "Drop screw", "start_frame": "81008000000000", "end_frame": "81019950000000"},
            ],
            "objects": {"81000000000000": ["screw", "tray"], "81002000000000": ["screw"]},
            "interaction": {"81000000000000": "The fingers pinch a screw."},
        },
        {"Sub Task": "Closing the tray", "start_frame": "81020000000000", "end_frame": "frame_0000801"},
    ],
    "global_summary": "A person sorts screws at a bench.",
}


def test_a_caption_gives_the_texts_that_an_audit_reads():
    found = parse_caption(json.dumps(EXAMPLE))
    assert found.main_task == "Sorting screws into trays"
    assert found.global_summary == "A person sorts screws at a bench."
    assert found.subtasks == ("Sorting small screws", "Closing the tray")
    assert found.action_labels == ("Pick up screw", "Drop screw")
    assert found.actions[0].description == "One screw."
    assert found.objects == ("screw", "tray")
    assert found.interactions == ("The fingers pinch a screw.",)
    assert found.faults == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("caption.json", "not JSON", id="a-path"),
        pytest.param("[]", "no list `segments`", id="a-list"),
        pytest.param('{"segments": {}}', "no list `segments`", id="segments-are-no-list"),
        pytest.param(b'{"segments": "\xff"}', "not JSON", id="not-utf-8"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
        pytest.param('{"segments": [], "n": ' + "9" * 5000 + "}", "not JSON", id="an-endless-integer"),
        pytest.param(" " * (65 << 20), "bytes", id="too-long"),
    ],
)
def test_what_is_no_caption_is_refused_as_bad_data(text, why):
    with pytest.raises(CaptionError, match=why) as caught:
        parse_caption(text)
    assert caught.value.exit_code == ExitCode.BAD_DATA


def test_parts_of_the_wrong_kind_are_left_out_and_named():
    text = json.dumps(
        {
            "config": [],
            "segments": [
                7,
                {"Current Action": "run", "objects": [], "interaction": {"1": 5}},
                {"Current Action": [{"label": ""}, 3, {"label": "Fold", "start_frame": True, "end_frame": 2.0}]},
            ],
        }
    )
    found = parse_caption(text)
    assert found.main_task == ""
    assert found.action_labels == ("Fold",)
    assert (found.actions[0].start, found.actions[0].end) == (None, 2)
    assert found.faults == (
        "segment 0 is no object", "actions of segment 1 are no list", "objects of segment 1 are no table",
        "interaction of segment 1 is no text", "action 0 of segment 2 has no label",
        "action 1 of segment 2 is no object",
    )  # fmt: skip


def test_a_caption_of_a_thousand_faults_names_fifty_and_counts_the_rest():
    found = parse_caption(json.dumps({"segments": [0] * 1000}))
    assert len(found.faults) == 51
    assert found.faults[-1] == "and 950 more"


@pytest.mark.parametrize(
    ("written", "frame"),
    [
        pytest.param(str(START), 0, id="digits-of-ns"),
        pytest.param(START + 50_000_000, 1, id="ns"),
        pytest.param(START + 74_000_000, 1, id="ns-nearest"),
        pytest.param(START + 76_000_000, 2, id="ns-nearest-above"),
        pytest.param(f"{START + 100_000_000}.jpg", 2, id="image-name"),
        pytest.param("frame_0000021", 20, id="frame-counted-from-1"),
        pytest.param("frame_000021.jpg", 20, id="frame-image"),
        pytest.param(21, 20, id="index"),
        pytest.param("21", 20, id="index-digits"),
        pytest.param(0, 0, id="index-0"),
        pytest.param("frame_0000101", 100, id="one-behind-the-last"),
        pytest.param(5_000, 100, id="far-behind-the-last"),
        pytest.param(START - 900_000_000, 0, id="just-before"),
        pytest.param(START + 5_800_000_000, 99, id="just-after"),
        pytest.param(START - 2_000_000_000, None, id="another-clock-before"),
        pytest.param(START * 2, None, id="another-clock-after"),
        pytest.param(-5, None, id="negative"),
        pytest.param("soon", None, id="word"),
        pytest.param("", None, id="nothing"),
        pytest.param("٣", None, id="foreign-digit"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_a_frame_reference_is_resolved_in_each_spelling(written, frame):
    assert frame_of(written, clock(100)) == frame


def test_swapped_ends_are_put_right_and_an_end_behind_the_last_frame_is_clamped():
    spans = resolve_caption(caption_of(("Turn", 40, 21), ("Close", "frame_0000061", 101)), clock(100))
    assert [(span.text, span.first, span.last) for span in spans.actions] == [("Turn", 20, 39), ("Close", 60, 99)]
    assert [(span.first, span.last) for span in spans.subtasks] == [(0, 99)]
    assert spans.unresolved == ()


def test_what_lies_nowhere_is_told_apart_from_what_resolves():
    spans = resolve_caption(caption_of(("Turn", 1, 40), ("Lost", "soon", 3), ("Late", 900, 950)), clock(100))
    assert [span.text for span in spans.actions] == ["Turn"]
    assert spans.unresolved == ("action 1 of segment 0: soon to 3", "action 2 of segment 0: 900 to 950")


def test_references_of_another_clock_resolve_to_nothing():
    shifted = caption_of(("Turn", START * 2, START * 2 + 10**9), start=START * 2, end=START * 2 + 10**9)
    spans = resolve_caption(shifted, clock(100))
    assert (spans.actions, spans.subtasks) == ((), ())
    assert len(spans.unresolved) == 2


@given(frames=st.integers(4, 300), seed=st.integers(0, 2**31), swap=st.booleans(), past=st.booleans())
def test_an_invented_caption_resolves_whole_whatever_its_spellings(frames, seed, swap, past):
    timeline = clock(frames)
    found = parse_caption(caption(timeline.t_ns.tolist(), seed, swap=swap, end_past_last=past))
    spans = resolve_caption(found, timeline)
    assert spans.unresolved == ()
    assert len(spans.actions) == len(found.actions)
    assert all(0 <= span.first <= span.last < frames for span in (*spans.actions, *spans.subtasks))
    labels = literal_labels(spans.actions, frames)
    assert labels.share == 1.0
    assert (spans.subtasks[0].first, spans.subtasks[-1].last) == (0, frames - 1)


@given(
    frames=st.integers(1, 500), step=st.integers(1, 200_000_000), frame=st.integers(0, 499),
    spelling=st.integers(0, SPELLINGS - 1),
)  # fmt: skip
def test_every_spelling_of_a_frame_is_that_frame(frames, step, frame, spelling):
    timeline = clock(frames, step)
    frame = min(frame, frames - 1)
    assert frame_of(reference(timeline.t_ns.tolist(), frame, spelling), timeline) == frame


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "segments",
                    "config",
                    "Main Task",
                    "Current Action",
                    "label",
                    "start_frame",
                    "end_frame",
                    "objects",
                    "Sub Task",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=40,
)


@given(segments=st.lists(json_values, max_size=5), rest=json_values)
def test_any_json_is_a_caption_with_spans_on_the_timeline_or_a_caption_error(segments, rest):
    document = {**(rest if isinstance(rest, dict) else {}), "segments": segments}
    found = parse_caption(json.dumps(document))
    spans = resolve_caption(found, clock(50))
    assert all(0 <= span.first <= span.last < 50 for span in (*spans.actions, *spans.subtasks))
    assert "".join(found.action_labels).encode() is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_caption_or_a_caption_error(content):
    try:
        parse_caption(content)
    except CaptionError as error:
        assert error.why


def test_literal_labels_say_nothing_about_frames_between_the_spans_and_filled_ones_do():
    spans = resolve_caption(caption_of(("A", 11, 20), ("B", 31, 35)), clock(50)).actions
    literal = literal_labels(spans, 50)
    assert literal.vocabulary == ("A", "B")
    assert literal.codes.tolist() == [-1] * 10 + [0] * 10 + [-1] * 10 + [1] * 5 + [-1] * 15
    assert literal.share == pytest.approx(0.3)
    assert filled_labels(literal).codes.tolist() == [0] * 30 + [1] * 20
    assert filled_labels(literal_labels((), 5)).codes.tolist() == [-1] * 5


def test_a_window_has_the_label_of_most_of_its_labelled_frames_or_is_left_out():
    spans = resolve_caption(
        caption_of(("A", 1, 12), ("B", 13, 20), ("C", 25, 26), ("A", 41, 51), ("B", 52, 60)), clock(79)
    )
    windows = labelled_windows(literal_labels(spans.actions, 79))
    assert [(window.first, window.text, window.share) for window in windows] == [(0, "A", 0.6), (20, "C", 1.0)]
    half = labelled_windows(literal_labels(spans.actions, 79), least_share=0.55)
    assert [window.first for window in half] == [0, 20, 40]
    assert labelled_windows(literal_labels((), 79)) == ()
