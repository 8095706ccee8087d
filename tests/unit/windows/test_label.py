"""Labels of windows from real HDF5 files: what the annotation says, and unknown where it says nothing."""

import json

import h5py
import numpy as np
import pytest
from staged import SPLITS, manifest_of, stage

from xperience.common.errors import BadDataError
from xperience.standin.episodes import Defect
from xperience.windows.label import label_episode
from xperience.windows.media import build_media
from xperience.windows.recipe import LabelRecipe, MediaRecipe, Scale
from xperience.windows.source import read_sources

MEDIA = MediaRecipe(cameras=("stereo_left",), rate_millihertz=2000, pixels=64, jpeg_scale=3)
LABELS = LabelRecipe(
    scales=(Scale(frames=20, stride=20),), least_share=0.6, longest_gap_ms=1000, cap=256, context_ms=3000,
    contact_threshold=0.5,
)  # fmt: skip
FRAMES = 160
# Label, subtask, first and last frame, counted from 0.
ACTIONS = [("Pick up", 0, 39), ("Turn", 40, 65), ("Put down", 66, 159)]


def caption(actions=ACTIONS, objects=None, subtask="Moving cups"):
    """Frames in a caption count from 1."""
    spans = [
        {"label": label, "description": "", "start_frame": first + 1, "end_frame": last + 1}
        for label, first, last in actions
    ]
    segment = {
        "segment_id": 0, "start_frame": 1, "end_frame": FRAMES + 1, "Sub Task": subtask, "Current Action": spans,
        "objects": {str(frame + 1): names for frame, names in (objects or {}).items()},
    }  # fmt: skip
    return json.dumps({"config": {}, "segments": [segment], "global_summary": ""})


def windows_of(tmp_path, *defects, text=None, contacts=None, recipe=LABELS):
    """The windows of one episode whose caption or contacts are replaced."""
    staged = stage(tmp_path, *defects, splits=SPLITS[:1], frames=FRAMES)
    path = staged.episodes[0].path
    with h5py.File(staged.root / path / "annotation.hdf5", "r+") as file:
        if text is not None:
            del file["caption"]
            file["caption"] = text
        if contacts is not None:
            del file["full_body_mocap/contacts"]
            file["full_body_mocap/contacts"] = contacts
    episode = read_sources(manifest_of(tmp_path, [(path, "train")]), None).episodes[0]
    marker = build_media(tmp_path / "out", episode, MEDIA)
    return label_episode(tmp_path / "out", episode, marker, recipe), staged.episodes[0]


def test_a_window_says_where_it_lies_what_it_shows_and_what_comes_next(tmp_path):
    found, facts = windows_of(tmp_path, text=caption(objects={0: ["cups", "a Hand"], 60: ["tray"]}))
    by_first = {window.first_frame: window for window in found.windows}
    assert sorted(by_first) == [0, 20, 40, 60, 80, 100, 120, 140]
    assert [by_first[first].action for first in (0, 20, 40, 60, 80)] == [
        "Pick up",
        "Pick up",
        "Turn",
        "Put down",
        "Put down",
    ]
    window = by_first[60]  # frames 60 to 65 still turn
    assert (window.transition, window.action_share, window.literal_share) == ("yes", 0.7, 0.7)
    assert by_first[80].transition == "no"
    assert (window.start_ns, window.end_ns) == (facts.timestamps_ns[60], facts.timestamps_ns[79])
    assert [by_first[first].next_action for first in (0, 20, 40, 140)] == ["Pick up", "Turn", "Put down", None]
    assert by_first[0].objects == ["cup", "hand"]
    assert window.objects == ["tray"]
    assert {window.subtask for window in found.windows} == {"Moving cups"}
    assert window.id == "00000000-0000-4000-8000-000000000000__ep1:20:000060"
    assert window.media == "media/00000000-0000-4000-8000-000000000000/ep1"


def test_the_evidence_window_is_filled_by_code(tmp_path):
    found, _ = windows_of(tmp_path, text=caption())
    for window in found.windows:
        answer = window.answer()
        assert answer["evidence_window"] == {"start_frame": window.first_frame, "end_frame": window.first_frame + 19}
        assert set(answer) == {
            "action", "subtask", "objects", "contact", "transition", "next_action", "evidence_window",
        }  # fmt: skip


def test_a_label_that_is_carried_on_is_told_from_one_that_the_caption_spells(tmp_path):
    found, _ = windows_of(tmp_path, text=caption([("Pick up", 0, 19), ("Put down", 100, 159)]))
    shares = {window.first_frame: (window.action, window.literal_share) for window in found.windows}
    assert shares[0] == ("Pick up", 1.0)
    assert shares[60] == ("Pick up", 0.0)
    assert shares[100] == ("Put down", 1.0)


def test_a_window_without_a_majority_is_left_out(tmp_path):
    found, _ = windows_of(tmp_path, text=caption([("Pick up", 0, 29), ("Put down", 30, 159)]))
    assert 20 not in {window.first_frame for window in found.windows}  # half and half
    following = next(window for window in found.windows if window.first_frame == 0)
    assert following.next_action is None


def test_contact_is_unknown_without_full_body_mocap_and_labels_stay(tmp_path):
    found, _ = windows_of(tmp_path, Defect.NO_SLAM_AND_BODY)
    assert len(found.windows) > 3
    assert {(window.contact, window.contact_feet) for window in found.windows} == {("unknown", "unknown")}


def test_contact_is_read_from_wrists_and_feet_apart(tmp_path):
    contacts = np.full((FRAMES, 21), 0.2, np.float32)
    contacts[40:60, 19] = 0.8
    contacts[60:80, 9] = 0.8
    found, _ = windows_of(tmp_path, text=caption(), contacts=contacts)
    by_first = {window.first_frame: (window.contact, window.contact_feet) for window in found.windows}
    assert [by_first[first] for first in (0, 40, 60)] == [("no", "no"), ("yes", "no"), ("no", "yes")]


def test_contacts_of_another_number_of_rows_are_unknown(tmp_path):
    found, _ = windows_of(tmp_path, text=caption(), contacts=np.ones((FRAMES - 3, 21), np.float32))
    assert {window.contact for window in found.windows} == {"unknown"}


def test_windows_of_several_scales_stand_in_time_order(tmp_path):
    scales = (Scale(frames=20, stride=10), Scale(frames=40, stride=20), Scale(frames=80, stride=40))
    found, _ = windows_of(
        tmp_path, text=caption([("Turn", 0, 159)]), recipe=LABELS.model_copy(update={"scales": scales})
    )
    assert [(w.first_frame, w.scale) for w in found.windows][:4] == [(0, 20), (0, 40), (0, 80), (10, 20)]
    assert {scale: sum(w.scale == scale for w in found.windows) for scale in (20, 40, 80)} == {20: 15, 40: 7, 80: 3}


def test_every_window_points_at_six_seconds_of_media_or_all_there_is(tmp_path):
    found, facts = windows_of(tmp_path, text=caption())
    for window in found.windows:
        assert window.media_count == 6  # 3 s at 2 per second
        assert window.sound == "sound"
        assert window.sound_count == pytest.approx(3 * 16000, abs=800)
        first_ns = facts.timestamps_ns[0] + window.media_first * 500_000_000
        assert first_ns - 500_000_000 <= window.start_ns
        assert first_ns + 6 * 500_000_000 >= window.end_ns - 500_000_000


@pytest.mark.parametrize(
    "defect", [Defect.CAPTION_IS_PATH, Defect.CAPTIONS_KEY, Defect.CAPTION_SWAPPED, Defect.INT_TIMESTAMPS]
)
def test_every_way_of_writing_a_caption_gives_the_same_windows(tmp_path, defect):
    plain, _ = windows_of(tmp_path / "plain")
    found, _ = windows_of(tmp_path / "other", defect)
    assert [w.model_dump() for w in found.windows] == [w.model_dump() for w in plain.windows]


def test_an_episode_without_a_caption_is_an_error(tmp_path):
    with pytest.raises(BadDataError, match="no caption"):
        windows_of(tmp_path, Defect.NO_CAPTION)
