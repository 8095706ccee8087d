"""`windows build`: what a rerun keeps, shards and merge, the same content every time; `verify` on every damage."""

import json
import shutil
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from staged import SPLITS, manifest_of, stage

from xperience.common.errors import BadDataError, StoppedError, TryAgainError
from xperience.common.settings.windows import WindowsBuildSettings
from xperience.common.shards import Shard
from xperience.standin.episodes import Defect
from xperience.windows.build import build
from xperience.windows.dataset import ARTEFACT, WindowsDataset
from xperience.windows.index import read_index
from xperience.windows.verify import verify


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    return stage(tmp_path_factory.mktemp("staged"), splits=SPLITS)


@pytest.fixture(scope="module")
def whole(staged, tmp_path_factory):
    """The windows of all four episodes."""
    output = tmp_path_factory.mktemp("whole")
    made(staged.manifest, output)
    return output


def made(manifest, output, *, shard=None, stop=None, **settings):
    asked = {"manifest_json": manifest, "windows": output, "frame_pixels": 32, "jobs": 2, "cap": 3, **settings}
    return build(WindowsBuildSettings(**asked), shard=shard or Shard(), stop=stop or threading.Event())


def contents(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.suffix != ".json"
    }


def hashes(output: Path) -> dict[str, str]:
    """Content hashes of the artefacts: what they say, without when and where."""
    return {
        str(path.relative_to(output)): json.loads(path.read_text())["content_sha256"]
        for path in sorted(output.rglob("*.json"))
    }


def test_the_cap_holds_in_every_split_and_the_second_index_has_all_test_windows(staged, whole):
    dataset = WindowsDataset.read(whole / ARTEFACT)
    index, natural = read_index(whole, dataset.index), read_index(whole, dataset.natural_test)
    assert dataset.index.windows_by_split == {"train": 6, "val": 3, "test": 3}
    labelled = {episode.split: episode.labelled_windows for episode in dataset.episodes}
    assert len(natural) == labelled["test"] > 3
    assert {window.split for window in natural} == {"test"}
    assert {w.id for w in index if w.split == "test"} < {w.id for w in natural}
    assert dataset.evaluation_index == dataset.natural_test
    assert dataset.inputs == {"episode_manifest": json.loads(staged.manifest.read_text())["content_sha256"]}


def test_the_index_is_plain_parquet_named_after_its_hash_with_relative_media(staged, whole):
    dataset = WindowsDataset.read(whole / ARTEFACT)
    assert dataset.index.path == f"index-{dataset.index.sha256[:16]}.parquet"
    table = pq.read_table(whole / dataset.index.path)
    assert table.num_rows == 12
    media = set(table.column("media").to_pylist())
    assert media == {f"media/{facts.path}" for facts in staged.episodes}
    assert str(staged.root).encode() not in (whole / dataset.index.path).read_bytes()
    assert str(staged.root) not in (whole / ARTEFACT).read_text()


def test_two_builds_are_byte_identical(staged, whole, tmp_path):
    made(staged.manifest, tmp_path, jobs=1)
    assert contents(tmp_path) == contents(whole)
    assert hashes(tmp_path) == hashes(whole)


def test_shards_make_what_one_makes_and_the_last_one_writes_the_index(staged, whole, tmp_path):
    first = made(staged.manifest, tmp_path, shard=Shard(0, 2))
    assert (first.made, first.missing, first.dataset) == (2, 2, None)
    with pytest.raises(TryAgainError, match="2 of 4 episodes"):
        made(staged.manifest, tmp_path, merge=True)
    last = made(staged.manifest, tmp_path, shard=Shard(1, 2))
    assert (last.made, last.missing) == (2, 0)
    assert last.dataset is not None
    assert contents(tmp_path) == contents(whole)
    assert hashes(tmp_path) == hashes(whole)
    (tmp_path / ARTEFACT).unlink()
    merged = made(staged.manifest, tmp_path, merge=True)
    assert (merged.made, merged.found) == (0, 0)
    assert hashes(tmp_path) == hashes(whole)


def copied(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_rerun_decodes_nothing_and_a_lost_marker_costs_its_episode_alone(staged, whole, tmp_path):
    output = copied(whole, tmp_path)
    assert (made(staged.manifest, output).made, made(staged.manifest, output).found) == (0, 4)
    marker = next(output.rglob("media.json"))
    marker.unlink()
    (marker.parent / ".frames.jpegs.left.tmp").write_bytes(b"half")  # of a killed worker
    again = made(staged.manifest, output)
    assert (again.made, again.found) == (1, 3)
    assert contents(output) == contents(whole)


def test_another_label_setting_decodes_nothing_and_another_media_setting_everything(staged, whole, tmp_path):
    output = copied(whole, tmp_path)
    assert made(staged.manifest, output, cap=2, scales="40/20", contact_threshold=0.9).made == 0
    assert made(staged.manifest, output, frame_rate_hz=1.0).made == 4


def test_episodes_that_are_not_usable_are_left_out_and_said(tmp_path):
    staged = stage(tmp_path, splits=("train", "test"), unusable=(1,))
    dataset = made(staged.manifest, tmp_path / "out").dataset
    assert [episode.split for episode in dataset.episodes] == ["train"]
    assert dataset.skipped == {staged.episodes[1].path: "it has no caption"}
    assert dataset.natural_test.windows == 0


def test_an_episode_that_fails_is_named_and_the_others_are_done(staged, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(staged.root, root)
    bad = root / staged.episodes[1].path / "fisheye_cam2.mp4"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    manifest = manifest_of(
        tmp_path, [(facts.path, split) for facts, split in zip(staged.episodes, SPLITS, strict=True)]
    )
    with pytest.raises(BadDataError, match=r"1 of 4 episodes give no media: .*000000000001/ep1: .*fisheye_cam2\.mp4"):
        made(manifest, tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("media.json"))) == 3
    assert not (tmp_path / "out" / ARTEFACT).exists()


def test_a_manifest_that_nobody_judged_and_one_with_a_session_in_two_splits_are_refused(staged, tmp_path):
    document = json.loads(staged.manifest.read_text())
    for change, fault in (
        (lambda episode: episode | {"usable": None}, "no episode of the manifest was looked into"),
        (lambda episode: episode | {"top_level_session": "one"}, "a session lies in two splits"),
        (lambda episode: episode | {"episode_path": "../elsewhere"}, "no episode"),
        (lambda episode: episode | {"staged": False}, "no usable episode"),
    ):
        from evidence_parts import write_evidence

        write_evidence(
            tmp_path / "m.json", "xperience.episode-manifest/1", data_root=document["data_root"],
            episodes=[change(episode) for episode in document["episodes"]],
        )  # fmt: skip
        with pytest.raises(BadDataError, match=fault):
            made(tmp_path / "m.json", tmp_path / "out")


def test_a_stop_leaves_what_is_done_and_no_half_of_an_episode(staged, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError, match="episodes are left"):
        made(staged.manifest, tmp_path, stop=stop)
    assert not list(tmp_path.rglob("media.json"))


def test_sound_and_defects_are_counted_per_episode(tmp_path):
    staged = stage(tmp_path, Defect.NO_AUDIO, splits=("train",))
    dataset = made(staged.manifest, tmp_path / "out").dataset
    assert [episode.sound for episode in dataset.episodes] == ["absent"]
    rows = read_index(tmp_path / "out", dataset.index)
    assert {(w.sound, w.sound_count, w.sound_dbfs) for w in rows} == {("absent", 0, None)}


# Verify


def test_windows_as_they_were_written_have_no_faults(staged, whole):
    found = verify(whole, staged.manifest, stop=threading.Event())
    assert found.faults == []
    assert (found.windows, found.episodes) == (12, 4)


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_rows(output, change):
    """The index with changed rows, its hash and name put right: only a look at the rows finds it."""
    from xperience.windows.index import write_index

    dataset = WindowsDataset.read(output / ARTEFACT)
    rows = change(read_index(output, dataset.index))
    index = write_index(output, "index", rows, ("train", "val", "test"))
    dataset.model_copy(update={"index": index}).write(output / ARTEFACT)


def moved(fields):
    return lambda rows: [rows[0].model_copy(update=fields), *rows[1:]]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        pytest.param(lambda o: one_bit(next(o.rglob("frames.jpegs"))), "frames.jpegs: sha256 differs", id="a picture"),
        pytest.param(lambda o: one_bit(next(o.rglob("audio.wav"))), "audio.wav: sha256 differs", id="sound"),
        pytest.param(lambda o: next(o.rglob("frames.npz")).unlink(), "No such file", id="tables are gone"),
        pytest.param(lambda o: next(o.rglob("media.json")).unlink(), "media.json", id="a marker is gone"),
        pytest.param(
            lambda o: one_bit(next(o.glob("index-*.parquet"))), "not the one that was written", id="the index"
        ),
        pytest.param(lambda o: next(o.glob("natural-*.parquet")).unlink(), "an index is not there", id="no test index"),
        pytest.param(lambda o: other_rows(o, moved({"last_frame": 5000})), "lies outside", id="a row outside"),
        pytest.param(lambda o: other_rows(o, moved({"media_first": 11})), "lies outside", id="frames outside"),
        pytest.param(lambda o: other_rows(o, moved({"split": "val"})), "is in ['train', 'val']", id="a split"),
        pytest.param(lambda o: other_rows(o, lambda rows: [*rows, rows[0]]), "in it twice", id="a row twice"),
        pytest.param(lambda o: other_rows(o, moved({"action": "Weld"})), "the vocabulary is not", id="a label"),
    ],
)
def test_every_damage_is_found(whole, tmp_path, damage, fault):
    output = copied(whole, tmp_path)
    damage(output)
    faults = verify(output, None, stop=threading.Event()).faults
    assert any(fault in found for found in faults), faults


def test_windows_of_another_manifest_are_said_to_be(staged, whole, tmp_path):
    other = stage(tmp_path, splits=("train",))
    faults = verify(whole, other.manifest, stop=threading.Event()).faults
    assert "made from manifest" in faults[0]
