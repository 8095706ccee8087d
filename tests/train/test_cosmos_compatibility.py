"""The 21 rows: all of L0 pass on the tiny model over staged clips, and each of them fails where it has to."""

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[1] / "unit" / "windows")]

from staged import stage

from xperience.common.errors import ConfigurationError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoCheckSettings, Cosmos3NanoExportSettings
from xperience.cosmos3_nano.compatibility import behaviour, data, software, trainability
from xperience.cosmos3_nano.compatibility.record import (
    NAMES,
    CompatibilityRecord,
    Measured,
    levels_of,
    of_all_workers,
    required_levels,
    row_not_run,
    row_of,
)
from xperience.cosmos3_nano.compatibility.run import CHECKS, OF_WEIGHTS, check
from xperience.cosmos3_nano.compatibility.subject import Subject
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.sample import staged_samples
from xperience.cosmos3_nano.tiers import CANVASES, tier_size
from xperience.cosmos3_nano.tiny import tiny_pipeline
from xperience.gates.bundle import CompatibilityView

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    found = stage(folder, frames=110)
    export(Cosmos3NanoExportSettings(manifest_json=found.manifest, records=folder / "records", clips=3, text_clips=0))
    return found, folder / "records"


@pytest.fixture(scope="module")
def record(staged, tmp_path_factory):
    found, records = staged
    output = tmp_path_factory.mktemp("record") / "compatibility.json"
    check(Cosmos3NanoCheckSettings(manifest_json=found.manifest, records=records, output=output))
    return CompatibilityRecord.read(output), output


@pytest.fixture(scope="module")
def whole(staged, tmp_path_factory):
    """One subject for the rows that read alone; what is damaged is put back."""
    found, records = staged
    clips = staged_samples(records, found.manifest, None, most=2)
    return Subject(tiny_pipeline(), clips, records, tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def subject(whole):
    """With a pipeline whose parts can be exchanged."""
    network, scheduler, clips = whole.pipeline.transformer, whole.pipeline.scheduler, list(whole.clips)
    encode, mask = whole.pipeline._encode_video, type(whole.pipeline)._mask_velocity_predictions
    yield whole
    whole.pipeline.transformer, whole.pipeline.scheduler, whole.clips = network, scheduler, clips
    whole.pipeline._encode_video, whole.pipeline._mask_velocity_predictions = encode, mask
    del whole.pipeline._mask_velocity_predictions


def changed(subject, **changes):
    """The first clip with other frames, actions or record."""
    (sample, source), *others = subject.clips
    subject.clips = [(replace(sample, **changes), source), *others]
    return subject


def fails(found, why):
    assert any(why in fault for fault in found.faults), found


def damaged(subject, change):
    network = copy.deepcopy(subject.pipeline.transformer)
    with torch.no_grad():
        change(network)
    subject.pipeline.transformer = network
    return subject


def test_every_row_of_l0_passes_and_every_other_says_why_it_did_not_run(record):
    found, _ = record
    assert [row.number for row in found.checks] == list(range(1, 22)) and len(NAMES) == 21
    assert {row.number: row.reason for row in found.checks if row.verdict == "fail"} == {}
    assert {row.number for row in found.checks if row.verdict == "not_run"} == {one.number for one in OF_WEIGHTS}
    assert found.levels["L0"] == "pass" and found.levels["L1"].startswith("not_run(")
    assert len({row.evidence_sha256 for row in found.checks}) == 21


def test_the_record_takes_a_minute_and_two_gigabytes_at_most_and_is_what_the_gates_read(record, staged):
    found, output = record
    assert found.host["peak_mib"] < 2048
    assert found.host["cpu_seconds"] < 60  # on one thread: what a quiet core takes
    view = CompatibilityView.read(output)
    assert view.required_levels == ["L0"] and view.levels["L0"] == "pass"
    assert view.inputs["manifest"] and view.model_sha256 == model_sha256(tiny_pipeline())


def test_another_model_has_another_hash_and_real_weights_need_l1():
    assert model_sha256(tiny_pipeline(seed=1)) != model_sha256(tiny_pipeline())
    assert required_levels("tiny") == ["L0"] and required_levels("models/Cosmos3-Nano") == ["L0", "L1"]


def test_rows_of_several_workers_fail_where_one_does_and_say_whose():
    def rows(*verdicts):
        return [
            row_of(replace(CHECKS[n], run=lambda _s, v=v: Measured({"v": v}, [v] if v else [])), None)
            for n, v in enumerate(verdicts)
        ]

    lacking = row_not_run(14, "L1", "", "no weights")
    assert of_all_workers([rows("", "bad")]) == rows("", "bad")
    found = of_all_workers([[*rows("", "", "odd"), lacking], [*rows("", "broken", "odd"), lacking]])
    assert [row.verdict for row in found] == ["pass", "fail", "fail", "not_run"]
    assert [row.reason for row in found] == ["", "worker 1: broken", "odd", "no weights"]
    assert found[1].measured == {"worker 0": {"v": ""}, "worker 1": {"v": "broken"}} and found[3].measured == {}
    assert levels_of(found)["L0"] == "fail"


def test_two_processes_share_the_clips_and_write_one_record(staged, record, tmp_path):
    found, records = staged
    output = tmp_path / "compatibility.json"
    done = subprocess.run(
        [sys.executable, "-m", "xperience", "cosmos3-nano", "check", "--processes", "2", "--records", records,
         "--manifest-json", found.manifest, "--output", output, "--log-format", "json", "--json"],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    shared, alone = CompatibilityRecord.read(output), record[0]
    assert json.loads(done.stdout) == shared.document()
    assert (shared.clips, shared.levels, shared.model_sha256) == (sorted(alone.clips), alone.levels, alone.model_sha256)
    assert shared.inputs == alone.inputs and len(shared.host["workers"]) == 2
    of_each = shared.checks[5].measured  # actions: of other clips on each worker
    assert set(of_each) == {"worker 0", "worker 1"} and of_each["worker 0"] != of_each["worker 1"]
    assert "record of 2 clips" in done.stderr


def test_a_worker_without_a_clip_is_refused(staged):
    found, records = staged
    with pytest.raises(ConfigurationError, match="2 clips, 3 workers"):
        staged_samples(records, found.manifest, None, most=2, share=(0, 3))
    both = staged_samples(records, found.manifest, None, most=2)
    shares = [staged_samples(records, found.manifest, None, most=2, share=(rank, 2)) for rank in range(2)]
    names = [[sample.record.record_id for sample, _ in clips] for clips in (both, *shares)]
    assert sorted(names[0]) == sorted(names[1] + names[2]) and len(names[1]) == 1


def test_a_level_fails_with_a_row_and_does_not_pass_without_one(subject):
    passed = row_of(CHECKS[0], subject)
    assert levels_of([passed])["L0"] == "pass"
    assert levels_of([passed, row_not_run(3, "L0", "", "no time")])["L0"] == "not_run(no time)"
    assert levels_of([])["L0"].startswith("not_run")
    broken = row_of(replace(CHECKS[0], run=lambda _subject: 1 / 0), subject)
    assert broken.verdict == "fail" and "ZeroDivisionError" in broken.reason
    assert levels_of([passed, broken])["L0"] == "fail"


def test_row_2_finds_a_library_that_is_too_old(subject):
    fails(software.versions(subject, {"diffusers": (99, 0)}), "older than 99.0")


def test_row_3_finds_karras_and_another_prediction(subject):
    kind = type(subject.pipeline.scheduler)
    subject.pipeline.scheduler = kind.from_config(subject.pipeline.scheduler.config, use_karras_sigmas=True)
    fails(software.config(subject), "flow_shift is ignored")
    subject.pipeline.scheduler = kind.from_config(subject.pipeline.scheduler.config, prediction_type="epsilon")
    fails(software.config(subject), "predicts epsilon")


def test_row_4_finds_another_number_of_parameters(subject):
    fails(software.load(subject, parameters=lambda: 12_600_000_000), "12600000000 parameters")


def test_row_5_finds_exchanged_colours_and_other_frames(subject):
    frames = subject.sample.frames
    fails(data.preprocess_video(changed(subject, frames=frames[..., ::-1].copy())), "red and blue")
    fails(data.preprocess_video(changed(subject, frames=np.zeros_like(frames))), "differ from the source")


def test_row_5_finds_pictures_that_are_not_scaled(subject, monkeypatch):
    monkeypatch.setattr(data, "for_pipeline", list)
    fails(data.preprocess_video(subject), "not from -1 to 1")


@pytest.mark.parametrize("tier", sorted(CANVASES))
@pytest.mark.parametrize("size", [(512, 512), (480, 854), (300, 200), (1080, 1920)])
def test_a_tier_has_the_pipelines_canvas_and_content(subject, tier, size):
    frames = [np.zeros((*size, 3), np.float32)] * 5
    pixels, told, height, width = subject.pipeline._prepare_action_video_conditioning(
        frames, tier, 5, "cpu", torch.float32
    )
    found = tier_size(tier, *size, frames=(5,))
    assert found.canvas == (height, width) == tuple(pixels.shape[-2:])
    assert found.content == (int(told[2]), int(told[3]))


def test_row_6_finds_statistics_that_do_not_fit(subject):
    (sample, source), *others = subject.clips
    narrow = source.statistics.model_copy(update={"high": source.statistics.low})
    subject.clips = [(sample, replace(source, statistics=narrow)), *others]
    fails(data.preprocess_action(subject), "99 % of normalised")


def test_row_7_finds_actions_of_other_frames(subject):
    sample, source = subject.clips[0]
    later, _ = source.raw(np.array(sample.record.clip.source_frames) - 2, sample)
    fails(data.time_alignment(changed(subject, actions=source.statistics.normalised(later)[0])), "frames off")


def test_row_7_finds_shuffled_actions_a_shifted_video_and_a_wrong_clip(subject):
    sample, actions, frames = subject.sample, subject.sample.actions, subject.sample.frames
    fails(data.time_alignment(changed(subject, actions=np.roll(actions, 3, axis=0))), "not those of its frames")
    shifted = source_of(subject).pictures(np.array(sample.record.clip.source_frames) - 4)
    fails(data.time_alignment(changed(subject, actions=actions, frames=shifted)), "its video are -4")
    clip = sample.record.clip.model_copy(update={"fps": 24.0})
    told = sample.record.model_copy(update={"clip": clip, "target_clip": clip})
    fails(data.time_alignment(changed(subject, frames=frames, record=told)), "24.0 fps are told")


def source_of(subject):
    return subject.clips[0][1]


def test_row_8_finds_a_prompt_that_is_too_long(subject):
    prompt = subject.sample.record.prompt.model_copy(update={"text": "Pick up the cup again. " * 40})
    fails(data.prompt(changed(subject, record=subject.sample.record.model_copy(update={"prompt": prompt}))), "tokens")


def test_row_9_finds_a_mask_that_lets_given_frames_move(subject):
    def unmasked(preds_vision, *_arguments, preds_action=None, **_more):
        return preds_vision[0] + 0.1, None, None if preds_action is None else preds_action[0]

    subject.pipeline._mask_velocity_predictions = unmasked
    found = behaviour.forward(subject)
    fails(found, "forward_dynamics: given frames move")
    fails(found, "inverse_dynamics: given frames move")


def test_row_10_finds_what_is_not_finite(subject):
    fails(behaviour.finite(damaged(subject, lambda net: net.proj_out.weight.fill_(float("nan")))), "not finite")


def test_row_12_finds_actions_that_have_no_effect(subject):
    def deaf(network):
        network.action_proj_in.fc.weight.zero_()

    fails(behaviour.conditioning(damaged(subject, deaf)), "shuffled_actions: nothing changes")


def test_row_13_finds_noise_that_no_seed_holds(subject):
    encode = subject.pipeline._encode_video
    subject.pipeline._encode_video = lambda pixels: encode(pixels) + torch.rand(1)
    fails(behaviour.determinism(subject), "the same seed differs")


def test_row_18_finds_an_action_that_is_no_number(subject):
    fails(
        behaviour.output_schema(damaged(subject, lambda net: net.action_proj_out.bias.weight.fill_(float("nan")))),
        "not finite",
    )


def test_row_19_finds_inputs_that_are_taken(subject):
    found = software.faults_refused(subject, condition=lambda *_: None)
    fails(found, "NaN was accepted")
    fails(found, "too few actions was accepted")
    assert len(found.faults) == 7


def test_row_20_finds_a_model_that_does_not_learn(subject):
    fails(trainability.learns(subject, steps=0), "the loss falls by")


def test_row_21_finds_a_gate_that_does_not_ask_for_what_it_has_to(subject):
    fails(software.gate(subject, command=("gates", "--for", "prepare")), "held-out-evaluation is None")
