import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "windows"))

import pytest
from staged import stage

from xperience.common.settings.windows import WindowsBuildSettings
from xperience.common.shards import Shard
from xperience.qwen3_omni.windows import WindowSamples
from xperience.windows.build import build


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    staged = stage(folder)
    settings = WindowsBuildSettings(
        windows=folder / "windows", manifest_json=staged.manifest, cameras="fisheye_cam0,stereo_left", jobs=1
    )
    build(settings, shard=Shard(), stop=threading.Event())
    return folder / "windows"


def test_a_window_becomes_a_row_of_the_length_that_the_index_foretells(root, maker):
    samples = WindowSamples(root, ["train"])
    facts, row = samples.facts[0], maker.row(samples.read(0))
    maker.check_labels(row)
    assert maker.counts(facts)[0] == len(row.ids)
    assert row.grid_seconds > 0 and 0 <= facts.begin_seconds < facts.end_seconds
    assert {fact.split for fact in samples.facts} == {"train"}


def test_evaluation_takes_the_natural_test_index(root):
    samples = WindowSamples(root, ["test"], natural=True)
    assert len(samples.facts) == samples.dataset.evaluation_index.windows_by_split["test"] > 0
