import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "windows"))

from staged import stage
from tracks_parts import track

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.common.paired import TOO_FEW
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.actions import BLOCKS, actions_of
from xperience.cosmos3_nano.evaluation import actions as evaluation
from xperience.cosmos3_nano.evaluation.actions import ActionLine, action_records, conclude, truth_of
from xperience.cosmos3_nano.evaluation.compared import BETTER, NOT_BETTER
from xperience.cosmos3_nano.evaluation.lines import DrawnBy, predict, read_lines
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.trajectory import errors_of, train_mean, trivial

MODE, BY = "inverse_dynamics", DrawnBy(model_sha256="m", seed=0, steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    staged = stage(tmp_path_factory.mktemp("staged"), splits=("train", *["test"] * 10), frames=70)
    place = staged.root.parent / "records"
    export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=place, text_clips=0))
    return place


@pytest.fixture(scope="module")
def knows(folder):
    """A prediction that is the truth times a factor in its camera's translation."""
    statistics = ActionStatistics.read(folder / "action-statistics.json")

    def draw(factor=1.0):
        def drawn(record):
            values = truth_of(folder, record.target_actions, record.domain, statistics).values.copy()
            values[:, :3] *= factor
            return values

        return drawn

    return draw


def said(draw):
    return lambda record: {"actions_raw": draw(record).tolist()}


def report(folder, path, draw, *, scale=False):
    records = action_records(folder, "test", MODE)
    train = action_records(folder, "train", MODE) if scale else []
    assert predict(path, ActionLine, [*records, *train], said(draw), BY) == len(records) + len(train)
    return conclude(folder, read_lines(path, ActionLine), split="test", mode=MODE, scale_records=train)


def test_the_truth_is_better_than_every_trivial_prediction(folder, tmp_path, knows):
    found = report(folder, tmp_path / "p.jsonl", knows())
    assert found.sessions == 10 and found.clips == 20
    for name in ("ate_metres", "rpe_metres", "rotation_degrees", "fingertips_metres"):
        assert found.metrics[name].value < 1e-6 and found.metrics[name].verdict == BETTER, name
    assert found.metrics["ate_metres"].trivial["constant velocity"].oracle


def test_a_model_that_says_the_train_mean_is_not_better(folder, tmp_path):
    statistics = ActionStatistics.read(folder / "action-statistics.json")
    train = action_records(folder, "train", MODE)
    mean = train_mean([truth_of(folder, one.target_actions, one.domain, statistics) for one in train])
    found = report(folder, tmp_path / "p.jsonl", lambda _record: np.tile(mean, (16, 1)))
    assert {metric.verdict for metric in found.metrics.values()} == {NOT_BETTER}
    assert found.metrics["ate_metres"].trivial["train mean"].difference == 0


def test_the_scale_of_translation_is_fitted_on_train_and_then_frozen(folder, tmp_path, knows):
    off = report(folder, tmp_path / "off.jsonl", knows(0.25))
    fitted = report(folder, tmp_path / "fitted.jsonl", knows(0.25), scale=True)
    assert off.translation_scale == 1 and fitted.translation_scale == pytest.approx(4)
    assert fitted.metrics["ate_metres"].value < 1e-6 < off.metrics["ate_metres"].value
    assert off.metrics["ate_aligned_metres"].value < 1e-6


def test_fingertips_are_judged_on_the_clips_that_show_a_hand(folder, tmp_path, knows, monkeypatch):
    hidden = action_records(folder, "test", MODE)[0].target_actions.uri

    def one_without_hands(place, stored, domain, statistics):
        found = truth_of(place, stored, domain, statistics)
        found.valid[:, 9:] &= stored.uri != hidden
        return found

    monkeypatch.setattr(evaluation, "truth_of", one_without_hands)
    found = report(folder, tmp_path / "p.jsonl", knows())
    assert (found.metrics["fingertips_metres"].items, found.metrics["ate_metres"].items) == (19, 20)


def test_under_ten_sessions_no_claim_is_made(tmp_path, knows):
    staged = stage(tmp_path, splits=("train", "test"), frames=70)
    place = tmp_path / "records"
    export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=place, text_clips=0))
    found = report(place, tmp_path / "p.jsonl", lambda _record: np.tile([0.0] * 3 + [1, 0, 0, 0, 1, 0] * 9, (16, 1)))
    assert found.metrics["ate_metres"].verdict == TOO_FEW
    assert found.metrics["ate_metres"].trivial["no motion"].interval is None


def test_predictions_go_on_after_an_interruption_and_missing_ones_are_named(folder, tmp_path, knows):
    path, records = tmp_path / "p.jsonl", action_records(folder, "test", MODE)
    asked = []

    def counted(record):
        asked.append(record.record_id)
        return knows()(record)

    predict(path, ActionLine, records[:5], said(counted), BY)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(BadDataError, match="16 of 20"):
        conclude(folder, read_lines(path, ActionLine), split="test", mode=MODE, scale_records=[])
    assert predict(path, ActionLine, records, said(counted), BY) == 20
    assert len(asked) == 5 + 16
    with pytest.raises(ConfigurationError, match="another model"):
        predict(path, ActionLine, records, said(counted), BY.model_copy(update={"model_sha256": "n"}))


def test_errors_are_in_metres_and_degrees():
    truth = actions_of(track(seed=2), "hand_pose")
    moved = truth.values.copy()
    moved[:, 0] += 0.01
    moved[:, BLOCKS["left_fingertips"]] += np.tile([0.003, 0, 0], 5)
    found = errors_of(truth, moved)
    assert found.rpe_metres == pytest.approx(0.01) and found.rotation_degrees == pytest.approx(0, abs=1e-6)
    assert found.fingertips_metres == pytest.approx(0.0015)  # of two hands one is off
    assert found.ate_metres > 0.01


def test_trivial_predictions_hold_still_or_go_on_as_they_began():
    truth = actions_of(track(seed=2), "camera_pose")
    made = trivial(truth, train_mean([truth]))
    assert made["no motion"][0].tolist() == [[0, 0, 0, 1, 0, 0, 0, 1, 0]] * 16
    assert (made["constant velocity"][0] == truth.values[0]).all() and made["constant velocity"][1]
    row = made["train mean"][0][0]
    assert np.linalg.norm(row[3:6]) == pytest.approx(1) and row[3:6] @ row[6:9] == pytest.approx(0, abs=1e-12)
