import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "windows"))

from staged import stage
from tracks_parts import track

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.actions import actions_of
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.formats import lerobot, reasoner, vision
from xperience.cosmos3_nano.media import cut, pictures, read_clip
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.record_set import RecordSet, read_records
from xperience.cosmos3_nano.records import read_record
from xperience.episode.annotation import Annotation
from xperience.standin.episodes import Defect

FRAMES = 230


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    return stage(tmp_path_factory.mktemp("staged"), frames=FRAMES)


@pytest.fixture(scope="module")
def exported(staged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    settings = Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=folder, clips=3, text_clips=1)
    return folder, export(settings)


def line_of(exported, task):
    folder, _ = exported
    return (folder / f"{task}.jsonl").read_bytes().splitlines()[0]


def changed(line, **changes):
    """The line with some values changed, by dotted path."""
    document = json.loads(line)
    for path, value in changes.items():
        *owners, name = path.split("__")
        owner = document
        for part in owners:
            owner = owner[part]
        owner[name] = value
    return json.dumps(document)


def test_every_task_and_every_official_format_has_samples_of_every_split(exported):
    _, found = exported
    assert found.records["forward_dynamics"] == {"test": 3, "train": 6, "val": 3}
    assert found.records["action_proxy"] == {"test": 6, "train": 12, "val": 6}
    assert set(found.records["reason"]) and set(found.records["future_label"])
    assert found.official["vision"] == {"train": 2, "val": 1, "test": 1}
    assert found.official["lerobot"] == {"train": 6, "val": 3, "test": 3}
    assert 0 < found.clamped_share["train"] < 0.05 and all(9 < fps < 11 for fps in found.median_fps.values())


def test_records_are_read_back_and_are_known_by_their_hash(exported):
    folder, _ = exported
    records = read_records(folder, "forward_dynamics")
    assert len({record.sha256 for record in records}) == len(records) == 12
    line = line_of(exported, "forward_dynamics")
    assert read_record(line, "x").sha256 != read_record(changed(line, prompt__text="other"), "x").sha256


def test_an_edited_record_file_is_refused(staged, tmp_path):
    settings = Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=tmp_path, clips=1, text_clips=0)
    export(settings)
    file = tmp_path / "action_proxy.jsonl"
    file.write_text(file.read_text().replace('"tier":256', '"tier":480', 1))
    with pytest.raises(BadDataError, match="not those that were written"):
        read_records(tmp_path, "action_proxy")


@pytest.mark.parametrize(
    ("task", "changes", "why"),
    [
        pytest.param("reason", {"colour": 1}, "Extra inputs", id="unknown key"),
        pytest.param("reason", {"prompt__hint": "x"}, "Extra inputs", id="unknown key inside"),
        pytest.param("reason", {"visible_until_s": 0.5}, "is visible", id="a frame after visible_until_s"),
        pytest.param("reason", {"prompt__text_until_s": 99.0}, "the prompt tells", id="a text of the future"),
        pytest.param("reason", {"target__evidence": [{"t_s": 99.0}]}, "not in the clip", id="evidence elsewhere"),
        pytest.param("future_label", {"target_from_s": 1.0}, "the target begins", id="a target that was seen"),
        pytest.param("forward_dynamics", {"chunk": 15}, "actions are", id="another number of actions"),
        pytest.param("forward_dynamics", {"visible_frames": 17}, "visible_frames", id="all frames shown"),
        pytest.param("forward_dynamics", {"target_clip__t0_s": 0.05}, "target clip", id="another target clip"),
        pytest.param("forward_dynamics", {"domain": "camera_pose"}, "actions are", id="another width"),
        pytest.param("forward_dynamics", {"actions__stats_sha256": "0"}, "two different", id="other statistics"),
        pytest.param("action_proxy", {"mode": "policy", "visible_frames": 17}, "visible", id="a policy that sees all"),
        pytest.param("action_proxy", {"split": "dev"}, "split", id="unknown split"),
        pytest.param("action_proxy", {"clip__num_frames": 16}, "source_frames", id="another number of frames"),
    ],
)
def test_a_record_that_leaks_or_does_not_fit_is_refused(exported, task, changes, why):
    line = line_of(exported, task)
    read_record(line, "x")
    with pytest.raises(BadDataError, match=why):
        read_record(changed(line, **changes), "x")


def test_statistics_are_of_the_train_sessions_alone(exported):
    folder, found = exported
    statistics = ActionStatistics.read(folder / "action-statistics.json")
    trained = {record.session_id for record in read_records(folder, "action_proxy") if record.split == "train"}
    assert set(statistics.sessions) == trained and len(trained) == 2
    assert statistics.content_sha256 == found.statistics_sha256


def test_options_are_of_train_and_a_label_that_train_lacks_is_other(exported):
    folder, _ = exported
    options = json.loads((folder / "options.json").read_text())
    assert options[-1] == "other" and len(set(options)) == len(options)
    assert all(record.target.next_action in options for record in read_records(folder, "future_label"))


def test_targets_are_the_annotations_own_words(exported, staged):
    folder, _ = exported
    by_id = {facts.path.replace("/", "__"): facts for facts in staged.episodes}
    for record in read_records(folder, "reason"):
        place = staged.root / by_id[record.episode_id].path / "annotation.hdf5"
        with Annotation.open(place) as annotation:
            text = annotation.text("caption")
        assert record.target.physics in text and record.target.observation in text


def test_a_clip_holds_the_very_source_frames(exported, staged):
    folder, _ = exported
    record = read_records(folder, "forward_dynamics")[1]
    shown = read_clip(folder / record.clip.uri)
    episode = staged.root / record.episode_id.replace("__", "/")
    source = list(pictures(episode / "stereo_left.mp4"))
    assert record.clip.source_frames[0] > 0 and len(shown) == 17
    for frame, picture in zip(record.clip.source_frames, shown, strict=True):
        right = np.abs(source[frame].astype(int) - picture).mean()
        assert right < 6 and right < 0.5 * np.abs(source[frame - 4].astype(int) - picture).mean()


def test_a_video_that_ends_before_its_clip_is_refused(staged):
    video = staged.root / staged.episodes[0].path / "stereo_left.mp4"
    with pytest.raises(BadDataError, match="shorter than its clips"):
        list(cut(video, [np.arange(0, 2 * FRAMES, 2)]))


def test_the_same_export_twice_has_the_same_content(exported, staged, tmp_path):
    folder, found = exported
    settings = Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=tmp_path, clips=3, text_clips=1)
    assert export(settings).known_by == found.known_by == RecordSet.read(folder / "records.json").content_sha256


def test_an_episode_without_slam_gives_text_records_alone(tmp_path):
    staged = stage(tmp_path, splits=("train", "test"), frames=130)
    text = staged.manifest.read_text()
    document = json.loads(text)
    document["episodes"][1]["usable"]["actions"] = False
    from evidence_parts import write_evidence

    write_evidence(staged.manifest, document["schema"], data_root=document["data_root"], episodes=document["episodes"])
    found = export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=tmp_path / "records"))
    assert set(found.records["action_proxy"]) == {"train"} and found.official["vision"]["test"] >= 1


def test_a_hand_that_is_not_seen_is_masked_in_the_records_and_not_in_lerobot(tmp_path):
    staged = stage(tmp_path, Defect.NAN_HANDS, splits=("train",), frames=130)
    folder = tmp_path / "records"
    found = export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=folder, text_clips=0))
    assert found.official["lerobot"] == {}
    actions = read_records(folder, "forward_dynamics")[0].actions
    assert not np.load(folder / actions.valid_uri)[:, 33:].any()
    assert np.load(folder / actions.valid_uri)[:, :33].all()
    assert not np.load(folder / actions.uri)[:, 33:].any()


def test_the_larger_model_is_refused_with_the_plans_sentence_in_any_setting(tmp_path):
    for name in ("records", "manifest_json", "data_root"):
        with pytest.raises(RefusedError, match="Nano is the practical first target"):
            Cosmos3NanoExportSettings(**{name: tmp_path / "nvidia/Cosmos3-Super"})


def test_the_vision_loader_would_drop_a_shorter_clip(exported, tmp_path):
    folder, _ = exported
    short = read_records(folder, "forward_dynamics")[0].clip
    vision.write(tmp_path, folder, [(short, [(0.0, "Pick up")], ["cup"])])
    with pytest.raises(BadDataError, match="drops or cuts"):
        vision.read_back(tmp_path)


def test_the_reasoner_loader_wants_the_video_before_the_text(exported, tmp_path):
    folder, _ = exported
    reasoner.write(tmp_path, folder, read_records(folder, "reason")[:1])
    assert reasoner.read_back(tmp_path)[0]["frames"] <= 32
    file = next((tmp_path / "text").iterdir())
    document = json.loads(file.read_text())
    document["conversations"][0]["content"].reverse()
    file.write_text(json.dumps(document))
    with pytest.raises(BadDataError, match="before the text"):
        reasoner.read_back(tmp_path)


def test_lerobot_gives_back_the_57_columns_through_the_official_alignment(tmp_path):
    drawn = np.random.default_rng(0).integers(0, 255, (17, 32, 48, 3), dtype=np.uint8)
    samples = [lerobot.Sample(track(seed=n), lambda: drawn, f"task {n % 2}") for n in range(3)]
    lerobot.write(tmp_path, samples)
    for sample, read in zip(samples, lerobot.read_back(tmp_path), strict=True):
        assert np.abs(read - actions_of(sample.track, "hand_pose").values).max() < lerobot.FLOAT32_METRES
    info = json.loads((tmp_path / "meta/info.json").read_text())
    info["total_frames"] += 1
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(BadDataError, match="frames and rows differ"):
        lerobot.read_back(tmp_path)
