"""Evaluation of a model that lies in a folder: the tiny one, saved as diffusers saves the real one."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("diffusers")
sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[1] / "unit" / "windows")]

from evidence_parts import call
from staged import stage

from xperience.common.errors import ConfigurationError
from xperience.common.paired import TOO_FEW
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.evaluation.actions import ActionEvaluation
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.tiny import tiny_pipeline

pytestmark = pytest.mark.timeout(1200)


def test_a_random_model_is_evaluated_and_no_claim_is_made_of_one_session(tmp_path):
    staged = stage(tmp_path, splits=("train", "test"), frames=40)
    export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=tmp_path / "records", text_clips=0))
    tiny_pipeline().save_pretrained(tmp_path / "model")
    arguments = (
        "cosmos3-nano", "evaluate", "--records", tmp_path / "records", "--base", tmp_path / "model", "--output",
        tmp_path / "out", "--steps", 2, "--dtype", "float32", "--scale-clips", 1,
    )  # fmt: skip
    call(*arguments)
    found = ActionEvaluation.read(tmp_path / "out" / "inverse_dynamics-test.json")
    assert found.clips == 1 and found.scale_clips == 1
    assert {metric.verdict for metric in found.metrics.values()} == {TOO_FEW}
    assert found.metrics["rpe_metres"].value > 0
    lines = (tmp_path / "out" / "inverse_dynamics-test.jsonl").read_bytes()
    call(*arguments)  # nothing is predicted twice
    assert (tmp_path / "out" / "inverse_dynamics-test.jsonl").read_bytes() == lines


def test_a_folder_without_a_model_is_refused(tmp_path):
    from xperience.cosmos3_nano.generator import load_pipeline

    with pytest.raises(ConfigurationError, match="no base model"):
        load_pipeline(tmp_path, None)
