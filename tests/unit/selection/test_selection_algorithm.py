import json
import random
import time
from pathlib import Path

import pytest

from xperience.common.errors import BadDataError, UsageError
from xperience.common.identity import FileIdentity
from xperience.common.layout import TRAINING_FILES
from xperience.selection.algorithm import Candidate, Constants, Parameters, quantile, score, select, split_of
from xperience.selection.plan_file import parse_document
from xperience.selection.write import document_of

DATA = Path(__file__).parents[2] / "data"
REAL = json.loads((DATA / "xperience10m_128_episode_selection.json").read_text())
GOLDEN = json.loads((DATA / "xperience10m_128_sizes.json").read_text())["golden"]
CONSTANTS = Constants(
    tuple(GOLDEN["band_upper_bounds_annotation_bytes"].values()),
    GOLDEN["score_constants_recovered"]["candidate_annotation_median_bytes"],
    GOLDEN["score_constants_recovered"]["candidate_training_median_bytes"],
    GOLDEN["filters"]["min_annotation_bytes"],
    GOLDEN["filters"]["min_training_bytes"],
)


def real_listing():
    for episode in REAL["selected_episodes"]:
        sizes = [episode["annotation_bytes"], *[episode["video_bytes"] // 6] * 5]
        sizes.append(episode["video_bytes"] - sum(sizes[1:]))
        for path, size in zip(episode["download_files"], sizes, strict=True):
            yield FileIdentity(path, size, sha256="ab" * 32)
        if episode["has_visualization_rrd"]:
            rrd = episode["total_bytes"] - episode["training_bytes_excluding_visualization_rrd"]
            yield FileIdentity(f"{episode['episode_path']}/visualization.rrd", rrd, sha256="ab" * 32)


def test_the_golden_constants_reproduce_all_128_recorded_scores_bands_and_splits():
    splits = {}
    for band in ("short", "lower_mid", "upper_mid", "long"):
        paths = [episode["episode_path"] for episode in REAL["selected_episodes"] if episode["size_band"] == band]
        splits |= split_of(paths, Parameters())
    for episode in REAL["selected_episodes"]:
        path, annotation = episode["episode_path"], episode["annotation_bytes"]
        candidate = Candidate(path, 7, episode["total_bytes"], annotation, episode["video_bytes"], False)
        assert CONSTANTS.band(annotation) == episode["size_band"]
        assert score(candidate, episode["size_band"], CONSTANTS, 7) == episode["selection_score"]
        assert splits[path] == episode["split"]


def test_the_whole_algorithm_finds_the_real_episodes_again_in_their_order_and_ranks():
    outcome = select(real_listing(), constants=CONSTANTS)
    document = document_of(outcome, Parameters(), repo_id=REAL["repo_id"], revision=REAL["repo_sha"])
    episodes = [episode.model_dump() for episode in document.selected_episodes]
    assert episodes == REAL["selected_episodes"]
    assert document.download_files == REAL["download_files"]
    assert document.selected_summary.model_dump() == REAL["selected_summary"]


def listing(sessions=60, episodes=3, seed=1):
    drawn = random.Random(seed)
    yield FileIdentity("README.md", 10, git_sha1="ab" * 20)
    for session in range(sessions):
        for number in range(1, episodes + 1):
            folder = f"session-{session:03}/ep{number}"
            for name in TRAINING_FILES:
                base = 1_900_000_000 if name == "annotation.hdf5" else 80_000_000
                yield FileIdentity(f"{folder}/{name}", base + drawn.randrange(base // 10), sha256="ab" * 32)


SMALL = Parameters(target_episodes=16)


def test_the_selection_of_a_listing_is_deterministic_and_passes_the_readers_own_checks():
    documents = []
    for seed in (1, 1):
        shuffled = list(listing())
        random.Random(seed + len(documents)).shuffle(shuffled)
        document = document_of(select(shuffled, SMALL), SMALL, repo_id="o/n", revision="0" * 40)
        documents.append(document.model_dump(exclude={"generated_at_utc"}))
        parse_document(document.model_dump_json().encode(), "made")
    assert documents[0] == documents[1]


def test_every_session_gives_at_most_one_episode_and_every_band_its_share():
    outcome = select(listing(), SMALL)
    assert len({chosen.candidate.session for chosen in outcome.chosen}) == 16
    assert {band: [c.band for c in outcome.chosen].count(band) for band in ("short", "long")} == {"short": 4, "long": 4}


def test_an_incomplete_episode_is_no_candidate():
    kept = [file for file in listing() if file.path != "session-000/ep1/stereo_left.mp4"]
    assert "session-000/ep1" not in {candidate.path for candidate in select(kept, SMALL).complete}


def test_small_annotations_and_small_episodes_are_rejected_and_counted():
    files = list(listing())
    files = [FileIdentity(f.path, 1000, f.sha256) if "session-000/ep1/annotation" in f.path else f for f in files]
    outcome = select(files, SMALL)
    assert outcome.rejected["annotation_too_small"] >= 1
    assert "session-000/ep1" not in {chosen.candidate.path for chosen in outcome.chosen}
    assert outcome.constants.min_annotation_bytes >= 512 << 20


def test_bands_that_lack_sessions_are_topped_up_from_the_rest():
    equal = [FileIdentity(f.path, 600 << 20, f.sha256) for f in listing(sessions=20, episodes=1) if "session" in f.path]
    outcome = select(equal, SMALL)
    assert [chosen.band for chosen in outcome.chosen] == ["short"] * 16


def test_too_few_sessions_are_an_error_that_says_how_many():
    with pytest.raises(BadDataError, match="9 of 16"):
        select(listing(sessions=9), SMALL)


def test_fractions_that_are_no_whole_are_refused():
    with pytest.raises(UsageError, match="sum to 1"):
        select(listing(), Parameters(target_episodes=16, test_fraction=0.5))


def test_quantiles_are_linear_and_rounded():
    assert quantile([1, 2, 4], 0.5) == 2
    assert quantile([0, 10], 0.25) == 2  # 2.5, banker's rounding
    assert quantile([7], 0.95) == 7


def test_the_whole_data_sets_size_is_selected_in_seconds():
    files = list(listing(sessions=802, episodes=15))
    started = time.monotonic()
    outcome = select(files)
    assert len(outcome.chosen) == 128
    assert time.monotonic() - started < 10
