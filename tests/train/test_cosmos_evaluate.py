"""Evaluation of a model that lies in a folder: the tiny one, in the layout of the real one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[1] / "unit" / "windows")]

from evidence_parts import call
from staged import stage

from xperience.common.errors import ConfigurationError
from xperience.common.paired import TOO_FEW
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.answering import answer
from xperience.cosmos3_nano.answers import Choice, FreeText, form_of, is_valid
from xperience.cosmos3_nano.evaluation.actions import ActionEvaluation
from xperience.cosmos3_nano.evaluation.compared import TextEvaluation
from xperience.cosmos3_nano.evaluation.text import known_to, options_of, text_records
from xperience.cosmos3_nano.evaluation.video import MODEL, ORACLE, VideoEvaluation, VideoLine
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.generator import load_pipeline
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.reasoner import inputs_of, load_reasoner
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord
from xperience.cosmos3_nano.tiny import write_tiny_base
from xperience.gates.cosmos import cosmos_results

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Records of a train and a test episode, and a model."""
    folder = tmp_path_factory.mktemp("evaluated")
    staged = stage(folder, splits=("train", "test"), frames=230)
    export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=folder / "records", clips=1, text_clips=1))
    write_tiny_base(folder / "model")
    return folder


@pytest.fixture(scope="module")
def reasoner(place):
    return load_reasoner(place / "model", torch.float32)


def evaluated(place, out, task, *more):
    call(
        "cosmos3-nano", "evaluate", "--task", task, "--records", place / "records", "--base", place / "model",
        "--output", out, "--steps", 2, "--dtype", "float32", "--scale-clips", 1, "--answer-tokens", 3, *more,
    )  # fmt: skip


def predicted_once(place, out, task, name):
    """The file of predictions after a run and after its repetition, which predicts nothing."""
    evaluated(place, out, task)
    lines = (out / name).read_bytes()
    evaluated(place, out, task)
    assert (out / name).read_bytes() == lines
    return [json.loads(line) for line in lines.splitlines()]


def test_actions_of_a_random_model_are_evaluated_and_no_claim_is_made_of_one_session(place, tmp_path):
    predicted_once(place, tmp_path, "action_proxy", "inverse_dynamics-test.jsonl")
    found = ActionEvaluation.read(tmp_path / "inverse_dynamics-test.json")
    assert found.clips == 1 and found.scale_clips == 1
    assert {metric.verdict for metric in found.metrics.values()} == {TOO_FEW}
    assert found.metrics["rpe_metres"].value > 0
    shown = cosmos_results(tmp_path)
    assert [one.task for one in shown.evaluations] == ["action_proxy"]
    assert {name: len(path) for name, path in shown.shown[0].clips[0].paths_metres.items()} == {
        "truth": 17, "predicted": 17
    }  # fmt: skip


@pytest.mark.parametrize("task", ["reason", "future_label"])
def test_answers_of_a_random_reasoner_are_valid_and_stand_beside_their_baselines(place, tmp_path, task):
    lines = predicted_once(place, tmp_path, task, f"{task}-test.jsonl")
    found = TextEvaluation.read(tmp_path / f"{task}-test.json")
    assert found.clips == found.valid == len(lines) > 0
    assert {metric.verdict for metric in found.metrics.values()} == {TOO_FEW}
    if task == "reason":
        assert found.cut == found.clips  # three tokens are no sentence
        assert "black frames" in found.metrics["physics_word_f1"].trivial
    else:
        assert sum(lines[0]["chances"]) == pytest.approx(1, abs=1e-4)
        trivial = found.metrics["next_action_balanced_accuracy"].trivial
        assert trivial["copy of the true current action"].oracle
        assert not trivial["copy of its own current answer"].oracle
        truth = text_records(place / "records", FutureLabelRecord, "test")[0].target.next_action
        chance = lines[0]["chances"][options_of(place / "records").index(truth)]
        assert found.metrics["next_action_log_loss"].value == pytest.approx(-np.log(max(chance, 1e-6)), abs=1e-5)


def test_videos_of_a_random_model_stand_beside_the_first_frame_and_shuffled_actions(place, tmp_path):
    lines = predicted_once(place, tmp_path, "forward_dynamics", "forward_dynamics-test.jsonl")
    found = VideoEvaluation.read(tmp_path / "forward_dynamics-test.json")
    assert found.clips == 1 and found.draws == 3 and found.left_out["lpips"].startswith("not_run(")
    psnr = found.metrics["psnr_db"]
    assert set(psnr.trivial) == {"copy of the first frame", "no motion", "shuffled actions", ORACLE}
    assert psnr.trivial[ORACLE].oracle and psnr.verdict == TOO_FEW
    assert found.controllability_db == psnr.trivial["shuffled actions"].difference
    line = VideoLine.model_validate(lines[0])
    assert line.scores[MODEL].psnr_db == pytest.approx(psnr.value, abs=1e-4)
    assert len(read_clip(tmp_path / line.clip_uri)) == 17


def test_predictions_of_another_sampler_are_not_gone_on_with(place, tmp_path):
    evaluated(place, tmp_path, "future_label")
    with pytest.raises(ConfigurationError, match="another model or sampler"):
        evaluated(place, tmp_path, "future_label", "--answer-tokens", 4)


def test_every_form_of_a_record_gives_a_valid_answer(place, reasoner):
    for kind in (ReasonRecord, FutureLabelRecord):
        record = text_records(place / "records", kind, "test")[0]
        known = known_to(place / "records", record)
        frames = read_clip(place / "records" / record.clip.uri)
        found = answer(reasoner, frames, record.clip.fps, "What?", form_of(record, known), most_tokens=2)
        assert is_valid(record, found.answer, known), found
    assert not is_valid(record, found.answer | {"next_action": "no such label"}, known)
    assert not is_valid(record, found.answer | {"colour": "red"}, known)


def test_chances_are_those_of_whole_passes_without_a_cache(reasoner):
    frames = np.random.default_rng(0).integers(0, 255, (21, 64, 96, 3), dtype=np.uint8)
    choice = Choice("x", ('"pick up"', '"put"', '"wait a while"'))
    found = answer(reasoner, frames, 10.0, "What?", ('{"a": ', choice, "}"), most_tokens=1)
    given = inputs_of(reasoner.tokenizer, frames, 10.0, "What?")
    scores = []
    for text in choice.texts:
        tail = reasoner.tokenizer('{"a": ' + text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        count = len(reasoner.tokenizer(text, add_special_tokens=False)["input_ids"])
        ids = torch.cat([given["input_ids"], tail], 1)
        types = torch.nn.functional.pad(given["mm_token_type_ids"], (0, tail.shape[1]))
        whole = given | {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}
        with torch.no_grad():
            logs = reasoner.model(**whole).logits[0].float().log_softmax(-1)
        scores.append(logs[-count - 1 : -1].gather(-1, ids[0, -count:, None]).sum())
    assert found.chances["x"] == pytest.approx(torch.stack(scores).softmax(-1).tolist(), abs=1e-4)


def test_free_text_ends_where_the_model_closes_it(reasoner):
    """A head that wants nothing but a quotation mark."""
    frames = np.zeros((5, 64, 64, 3), np.uint8)
    form = ('{"a": "', FreeText("a"), '"}')
    assert answer(reasoner, frames, 10.0, "What?", form, most_tokens=4).cut == ["a"]
    head = reasoner.model.lm_head
    before = head.weight.detach().clone()
    closing = reasoner.tokenizer('"}', add_special_tokens=False)["input_ids"][0]
    hook = head.register_forward_hook(lambda _m, _i, out: out.index_fill(-1, torch.tensor([closing]), 99.0))
    found = answer(reasoner, frames, 10.0, "What?", form, most_tokens=4)
    hook.remove()
    assert found.answer == {"a": ""} and found.cut == [] and head.weight.equal(before)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no base model"):
        load_pipeline(tmp_path, None)
    with pytest.raises(ConfigurationError, match="no reasoner"):
        load_reasoner(tmp_path, None)
