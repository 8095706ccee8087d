import json
import os
import shutil
from collections import Counter

import pytest
from evidence_parts import REAL, SIZES, arrived, judged, write_evidence, write_probe

from xperience.common.errors import BadDataError, UsageError
from xperience.prepare.manifest import EpisodeManifest

PLAN = (
    "--max-episodes", "128", "--train-fraction", "0.75", "--val-fraction", "0.125", "--test-fraction", "0.125",
    "--split-seed", "7",
)  # fmt: skip
SPLITS = {episode["episode_path"]: episode["split"] for episode in SIZES["episodes"]}


def manifest(run, root, folder, *arguments):
    output = folder / "manifest.json"
    run("prepare", "manifest", "--data-root", root, "--output", output, *arguments)
    return EpisodeManifest.read(output)


def transfer(root, path, *, episodes=True, files=None):
    listed = SIZES["episodes"]
    write_evidence(
        path, "xperience.transfer-manifest/1", repo_id="r/n", repo_type="dataset", revision="0" * 40, store="ssh://x",
        inputs={"selection": "11" * 32, "selection_parent": "22" * 32},
        files=files
        or [
            arrived(f"{e['episode_path']}/{name}", size, "ab" * 32)
            for e in listed
            for name, size in e["files"].items()
        ],
        episodes=[
            {"path": e["episode_path"], "split": e["split"], "size_band": e["size_band"], "rank": e["rank"]}
            for e in listed
        ]
        if episodes
        else [],
    )  # fmt: skip


def linked(sparse_root, tmp_path):
    """A copy of the sparse root that a test may change."""
    root = tmp_path / "root"
    shutil.copytree(sparse_root, root, copy_function=os.link)
    return root


def test_the_plans_command_keeps_the_split_of_all_128_and_says_that_seed_7_was_not_used(run, sparse_root, tmp_path):
    found = manifest(run, sparse_root, tmp_path, *PLAN, "--selection-json", REAL)
    assert {episode.episode_path: episode.split for episode in found.episodes} == SPLITS
    assert found.split.seed is None
    assert "seed 7 was not used" in found.split.note
    assert found.summary.split_counts == {"train": 96, "val": 16, "test": 16}
    assert found.summary.staged_episodes == 128
    assert found.summary.usable_episodes is None  # nobody looked
    assert found.summary.total_bytes == 298_189_759_263
    assert found.missing_or_incomplete == []


def test_ids_are_session_and_episode_and_unique(run, sparse_root, tmp_path):
    found = manifest(run, sparse_root, tmp_path, "--selection-json", REAL)
    assert len({episode.id for episode in found.episodes}) == 128
    assert found.episodes[0].id == "8a8e1b3c-607e-4ada-b3fd-fa639727e92c__ep1"


@pytest.mark.parametrize(
    ("flags", "moved", "unsealed"),
    [
        pytest.param(("--redraw-split",), 51, 13, id="the-plans-own-draw"),
        pytest.param(("--train-fraction", "0.5", "--val-fraction", "0.375"), None, None, id="other-fractions"),
    ],
)
def test_a_redraw_is_refused_with_the_number_of_episodes_that_would_change_sides(
    run, sparse_root, tmp_path, flags, moved, unsealed
):
    with pytest.raises(UsageError, match="already settled") as refused:
        manifest(run, sparse_root, tmp_path, *flags, "--selection-json", REAL)
    if moved:
        assert f"move {moved} of 128" in str(refused.value)
        assert f"{unsealed} of them out of the sealed test set" in str(refused.value)
    assert not (tmp_path / "manifest.json").exists()


def test_without_a_selection_the_transfer_manifests_split_is_inherited_with_its_hashes(run, sparse_root, tmp_path):
    root = linked(sparse_root, tmp_path)
    transfer(root, root / "xperience-transfer-manifest.json")
    found = manifest(run, root, tmp_path, *PLAN)
    assert {episode.episode_path: episode.split for episode in found.episodes} == SPLITS
    assert found.split.source == "transfer-manifest"
    assert all(file.sha256 == "ab" * 32 for episode in found.episodes for file in episode.files)
    with pytest.raises(UsageError, match="move 51 of 128"):
        manifest(run, root, tmp_path, *PLAN, "--redraw-split")


def test_data_without_selection_and_transfer_is_refused_unless_a_draw_is_asked_for(run, sparse_root, tmp_path):
    with pytest.raises(UsageError, match="no split to inherit"):
        manifest(run, sparse_root, tmp_path, *PLAN)
    found = manifest(run, sparse_root, tmp_path, *PLAN, "--redraw-split")
    assert found.split.source == "drawn"
    assert found.split.seed == 7
    drawn = {episode.episode_path: episode.split for episode in found.episodes}
    assert sum(drawn[path] == split for path, split in SPLITS.items()) == 77  # as the plan's program draws
    assert Counter(drawn.values()) == {"train": 96, "val": 16, "test": 16}


def test_a_data_root_of_another_selection_is_refused(run, sparse_root, tmp_path):
    root = linked(sparse_root, tmp_path)
    transfer(root, root / "xperience-transfer-manifest.json", files=[arrived("a/b/c", 1, "ab" * 32)])
    with pytest.raises(BadDataError, match="another selection"):
        manifest(run, root, tmp_path, "--selection-json", REAL)


def test_fractions_that_are_no_whole_are_refused(run, sparse_root, tmp_path):
    with pytest.raises(UsageError, match="sum to 1"):
        manifest(run, sparse_root, tmp_path, "--train-fraction", "0.9", "--selection-json", REAL)


def test_more_episodes_than_asked_for_are_refused(run, sparse_root, tmp_path):
    with pytest.raises(UsageError, match="128 against 16"):
        manifest(run, sparse_root, tmp_path, "--max-episodes", "16", "--selection-json", REAL)


def test_what_is_missing_empty_or_of_another_size_is_not_staged_and_what_is_too_much_is_named(
    run, sparse_root, tmp_path
):
    root = linked(sparse_root, tmp_path)
    paths = list(SPLITS)
    (root / paths[0] / "stereo_left.mp4").unlink()
    for path, name, size in ((paths[1], "annotation.hdf5", 5), (paths[2], "fisheye_cam0.mp4", 0)):
        (root / path / name).unlink()  # a link: the original stays
        (root / path / name).write_bytes(bytes(size))
    (root / paths[3] / "visualization.rrd").write_bytes(b"RRF2")
    (root / paths[4] / "stereo_left.mp4.partial_chunked").write_bytes(b"x")
    shutil.copytree(root / paths[5], root / "0" / "ep1", copy_function=os.link)
    found = manifest(run, root, tmp_path, "--selection-json", REAL)
    faults = {episode.episode_path: episode.missing for episode in found.missing_or_incomplete}
    assert faults[paths[0]] == ["stereo_left.mp4"]
    assert faults[paths[1]][0].startswith("annotation.hdf5: 5 bytes, expected ")
    assert faults[paths[2]] == ["fisheye_cam0.mp4: no bytes"]
    assert found.summary.staged_episodes == 125
    assert found.excluded_files == [f"{paths[3]}/visualization.rrd"]
    assert found.leftovers == [f"{paths[4]}/stereo_left.mp4.partial_chunked"]
    assert found.unexpected_episodes == ["0/ep1"]


def test_usable_is_counted_apart_from_staged_and_check_stands_before_probe(run, sparse_root, tmp_path):
    bad = {e["episode_path"] for e in SIZES["episodes"] if e["upstream_skip_reason"]}
    assert len(bad) == 9
    listed = [judged(path, actions=path not in bad) for path in SPLITS]
    write_probe(tmp_path / "probe.json", listed)
    found = manifest(run, sparse_root, tmp_path, "--selection-json", REAL)
    assert (found.summary.staged_episodes, found.summary.usable_episodes) == (128, 119)
    assert found.summary.usable_by_purpose == {"actions": 119, "windows": 128}
    assert set(found.inputs) == {"selection", "probe"}
    worse = [judged(listed[20]["path"], windows=False, actions=False, reason="timestamps go back", frames=7)]
    write_evidence(tmp_path / "check.json", "xperience.check/1", episodes=worse)
    found = manifest(run, sparse_root, tmp_path, "--selection-json", REAL)
    assert found.summary.usable_by_purpose["windows"] == 127
    episode = found.episodes[20]
    assert (episode.judged_by, episode.why_not, episode.frame_count) == ("check", ["timestamps go back"], 7)


def test_edited_evidence_is_refused(run, sparse_root, tmp_path):
    write_probe(tmp_path / "probe.json", [])
    edited = json.loads((tmp_path / "probe.json").read_text()) | {"episodes": [judged("a/b")]}
    (tmp_path / "probe.json").write_text(json.dumps(edited))
    with pytest.raises(BadDataError, match="does not match its content"):
        manifest(run, sparse_root, tmp_path, "--selection-json", REAL)


def test_two_runs_write_the_same_content_and_under_source_date_epoch_the_same_bytes(
    run, sparse_root, tmp_path, monkeypatch
):
    first = manifest(run, sparse_root, tmp_path, "--selection-json", REAL)
    again = manifest(run, linked(sparse_root, tmp_path), tmp_path, "--selection-json", REAL)
    assert first.content_sha256 == again.content_sha256  # another folder, another day
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        manifest(run, sparse_root, tmp_path / name, "--selection-json", REAL)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
