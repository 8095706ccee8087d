"""What post-training learns, on clips whose video is made of their actions; one process, the tiny model."""

import json
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
from driven import DrivenClips

from xperience.common.errors import BadDataError
from xperience.common.settings.cosmos3_nano import Cosmos3NanoTrainSettings
from xperience.cosmos3_nano import lora
from xperience.cosmos3_nano.flow import MODES
from xperience.cosmos3_nano.generator import load_pipeline
from xperience.cosmos3_nano.identity import model_sha256
from xperience.cosmos3_nano.merge import REPORT, Merge, merge
from xperience.cosmos3_nano.merged_weights import AdapterAndHeads
from xperience.cosmos3_nano.post_training.generator import GeneratorRun
from xperience.cosmos3_nano.post_training.grid import BLIND, SEEN, USED, VANISHED, control, grid_of, measure
from xperience.cosmos3_nano.post_training.record import GRID, GridLosses, PostTrainingRecord, Start
from xperience.cosmos3_nano.tiny import tiny_pipeline
from xperience.gates.bundle import PostTrainingView
from xperience.training.group import Group
from xperience.training.loop import train

pytestmark = pytest.mark.timeout(1200)
LEAST_FALL, MOST_CPU_SECONDS = 0.2, 60


@pytest.fixture(scope="module")
def group():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            patch.delenv(name, raising=False)
        found = Group()
        yield found
        found.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_pipeline().save_pretrained(folder)
    return folder


def run_of(base, folder, group, *, train_clips=20, val_clips=12, **changed):
    values = {
        "base": base, "output": folder, "evidence": folder, "dtype": "float32", "lora_rank": 16, "lora_alpha": 32,
        "learning_rate": 1e-2, "head_factor": 2.0, "warm_up_steps": 5, "epochs": 15, "samples_per_step": 4,
        "grid_samples": val_clips, "recompute": False, "validate_every_steps": 1000,
    }  # fmt: skip
    settings = Cosmos3NanoTrainSettings(**values | changed)
    pipeline = load_pipeline(base, getattr(torch, settings.dtype))
    start = Start(
        inputs={"manifest": "a" * 64, "records": "b" * 64, "compatibility": "c" * 64}, model="tiny",
        model_sha256=model_sha256(pipeline),
    )  # fmt: skip
    data = (DrivenClips(pipeline, split, n) for split, n in (("train", train_clips), ("val", val_clips)))
    return GeneratorRun(settings, start, pipeline, *data, group)


@pytest.fixture(scope="module")
def learnt(base, tmp_path_factory, group):
    folder = tmp_path_factory.mktemp("learnt")
    run = run_of(base, folder, group)
    before = time.process_time()
    assert not train(run, lambda: False).stopped
    return run, folder, time.process_time() - before


def record_of(folder):
    return PostTrainingRecord.read(folder / "cosmos3_nano_post_training.json").parts["generator"]


def test_the_loss_at_fixed_noise_falls_by_a_fifth_in_every_mode_within_a_minute_of_cpu(learnt):
    _, folder, cpu_seconds = learnt
    found = record_of(folder)
    assert set(found.losses) == set(MODES)
    for mode, loss in found.losses.items():
        assert loss.fall >= LEAST_FALL, (mode, loss)
        assert loss.interval is not None and loss.interval[0] > 0
    assert cpu_seconds <= MOST_CPU_SECONDS


def test_the_video_follows_the_actions_that_it_was_trained_with(learnt):
    control = record_of(learnt[1]).control
    assert control.verdict == USED
    assert control.share > 0.1
    assert control.interval[0] > 0
    assert abs(control.base_gap) < 0.05 * control.gap


def test_trained_with_shuffled_actions_the_gap_vanishes_and_the_record_says_so(base, tmp_path, group):
    train(run_of(base, tmp_path, group, shuffle_actions=True), lambda: False)
    found = record_of(tmp_path)
    assert found.shuffled_actions
    assert found.control.verdict == VANISHED
    told = PostTrainingView.read(tmp_path / "cosmos3_nano_post_training.json").metrics
    assert told["generator"]["controllability"]["verdict"] == VANISHED


@pytest.mark.parametrize(
    ("cost", "verdict"),
    [
        pytest.param([0.2, 0.3, 0.25] * 4, SEEN, id="each-session-pays"),
        pytest.param([0.005] * 12, BLIND, id="under-a-hundredth-of-the-loss"),
        pytest.param([0.9, -0.3, 0.6, -0.4, 0.5, -0.5] * 2, BLIND, id="some-pay-and-some-gain"),
    ],
)
def test_a_wrong_input_that_costs_nothing_is_called_unused(cost, verdict):
    right = [1.0, 1.1, 0.9, 1.0, 1.2, 0.8] * 2
    wrong = [one + more for one, more in zip(right, cost, strict=True)]
    sessions = [f"s{number}" for number in range(12)]
    found = control(range(12), range(12, 24), sessions, right + right, right + wrong, verdicts=(SEEN, BLIND))
    assert found.verdict == verdict
    assert (found.gap, found.base_gap) == (pytest.approx(sum(cost) / 12, abs=1e-5), 0)


def test_adapter_and_heads_reloaded_have_the_very_losses_of_the_run(learnt, base, group):
    run, folder, _ = learnt
    losses = GridLosses.read(folder / "generator" / GRID)
    pipeline = load_pipeline(base, torch.float32)
    val = DrivenClips(pipeline, "val", 12)
    assert measure(pipeline, val, grid_of(val, 12), group) == losses.base
    lora.load(pipeline.transformer, folder / "generator" / "adapter", val.domain_id)
    assert measure(pipeline, val, grid_of(val, 12), group) == losses.adapter
    assert losses.points == run.points()


def test_rows_of_other_domains_and_all_frozen_weights_stay_as_they_were(learnt, base):
    run = learnt[0]
    before = dict(load_pipeline(base, torch.float32).transformer.named_parameters())
    heads = dict(lora.head_weights(load_pipeline(base, torch.float32).transformer))
    mine = run.train.domain_id
    others = [row for row in range(32) if row != mine]
    for name, weight in lora.head_weights(run.pipeline.transformer):
        assert weight[others].equal(heads[name][others])
        assert not weight[mine].equal(heads[name][mine])
    compared = 0
    for name, parameter in run.pipeline.transformer.named_parameters():
        plain = name.replace(".base_layer", "").replace(".table", "")
        if not parameter.requires_grad:
            assert parameter.equal(before[plain]), name
            compared += 1
    assert compared == len(before)


def test_every_step_is_of_one_mode_and_says_so(learnt):
    lines = [json.loads(line) for line in (learnt[1] / "generator" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    assert len(steps) == learnt[0].length == 15 * 3 * 5
    assert {line["mode"] for line in steps} == set(MODES)
    assert all(line["clips"] == 4 for line in steps)


def losses_of(folder, group, dtype=torch.float32, adapter=None, clips=3):
    pipeline = load_pipeline(folder, dtype)
    val = DrivenClips(pipeline, "val", clips)
    if adapter is not None:
        lora.load(pipeline.transformer, adapter, val.domain_id)
    return measure(pipeline, val, grid_of(val, clips), group)


def test_the_merged_model_is_loaded_by_diffusers_and_has_the_losses_of_base_and_adapter(learnt, base, tmp_path, group):
    adapter, merged = learnt[1] / "generator" / "adapter", tmp_path / "merged"
    report = merge(base, adapter, merged, dtype=torch.float32, compare=True)
    assert report.part == "generator"
    assert report.merged_weights == 2 * 4 + 4  # two layers of four projections, two heads of two weights
    assert report.relative_difference < 1e-5
    assert losses_of(merged, group) == pytest.approx(losses_of(base, group, adapter=adapter), rel=1e-5)
    in_memory, change = load_pipeline(base, torch.float32), AdapterAndHeads(adapter)
    with torch.no_grad():
        for name, parameter in in_memory.transformer.named_parameters():
            if change.has(name):
                parameter.copy_(change.merged(name, parameter))
    val = DrivenClips(in_memory, "val", 3)
    assert measure(in_memory, val, grid_of(val, 3), group) == losses_of(merged, group)
    assert Merge.read(merged / REPORT).rewritten_files == ["transformer/diffusion_pytorch_model.safetensors"]
    assert {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file()} | {REPORT} == {
        str(p.relative_to(merged)) for p in merged.rglob("*") if p.is_file()
    }


def test_an_adapter_of_another_model_is_not_merged(learnt, base, tmp_path):
    change = AdapterAndHeads(learnt[1] / "generator" / "adapter")
    with pytest.raises(BadDataError, match="of another shape"):
        change.merged("layers.0.self_attn.add_q_proj.weight", torch.zeros(3, 5))
    with pytest.raises(BadDataError, match="no place in the base model"):
        AdapterAndHeads(learnt[1] / "generator" / "adapter").check_all_used()


def test_a_checkpoint_of_another_loss_is_another_runs(base, tmp_path, group, monkeypatch):
    before = run_of(base, tmp_path, group, train_clips=1, val_clips=1).fingerprint
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda place: read(place) + (b"#" if place.name == "flow.py" else b""))
    assert run_of(base, tmp_path, group, train_clips=1, val_clips=1).fingerprint != before


def test_frozen_weights_in_bfloat16_train_float32_and_reload_with_no_gap(base, tmp_path, group):
    run = run_of(base, tmp_path, group, dtype="bfloat16", train_clips=4, val_clips=3, epochs=2, recompute=True)
    assert {parameter.dtype for parameter in run.parameters} == {torch.float32}
    train(run, lambda: False)
    kept = GridLosses.read(tmp_path / "generator" / GRID)
    adapter = tmp_path / "generator" / "adapter"
    assert losses_of(base, group, torch.bfloat16) == kept.base
    assert losses_of(base, group, torch.bfloat16, adapter) == kept.adapter
    assert kept.adapter != kept.base
