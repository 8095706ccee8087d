import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.schedule import plan_steps

WORKER = Path(__file__).with_name("tiny_worker.py")
LAUNCH = (
    "import sys; from xperience.qwen3_omni.launch import launch;"
    "code, said = launch(sys.argv[2:], processes=int(sys.argv[1])); print(said); sys.exit(code)"
)


@pytest.fixture(scope="session")
def base(tmp_path_factory, tokenizer, config):
    folder = tmp_path_factory.mktemp("base")
    tiny.tiny_thinker(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings_of(base, output, **changed):
    values = {
        "base": base, "output": output, "dtype": "float32", "lora_rank": 4, "lora_alpha": 8, "learning_rate": 3e-3,
        "warm_up_steps": 2, "epochs": 2, "pack_tokens": 256, "packs_per_step": 4, "recompute": False,
        "loader_workers": 0, "checkpoint_every_steps": 2, "validate_every_steps": 4, "patience": 0,
    }  # fmt: skip
    return Qwen3OmniTrainSettings(**values | changed)


def start(settings, processes=2, **environment):
    settings.output.mkdir(parents=True, exist_ok=True)
    place = settings.output / "settings.json"
    place.write_text(settings.model_dump_json())
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(processes), str(WORKER), str(place)], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def run(settings, processes=2, **environment):
    process = start(settings, processes, **environment)
    said, _ = process.communicate(timeout=200)
    return process.returncode, said


def losses(settings):
    lines = [json.loads(line) for line in (settings.output / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["event"] == "step"]


@pytest.fixture(scope="session")
def undisturbed(base, tmp_path_factory):
    settings = settings_of(base, tmp_path_factory.mktemp("undisturbed"))
    code, said = run(settings)
    assert code == 0, said
    return settings


def test_two_processes_train_one_of_them_without_media(undisturbed, maker):
    samples = tiny.ShownLabels("train", sessions=4, media=("v", ""))
    steps = plan_steps(
        [maker.counts(facts) for facts in samples.facts], seed=undisturbed.seed, epochs=2, pack_tokens=256,
        packs_per_step=4,
    )  # fmt: skip

    def seen(pack):
        return any(samples.facts[number].frames for number in pack.samples) if pack else None

    passes = [pair for step in steps for pair in zip(step.of_rank(0, 2), step.of_rank(1, 2), strict=True)]
    assert any({seen(one), seen(other)} == {True, False} for (_, one), (_, other) in passes)
    found = losses(undisturbed)
    assert len(found) == len(steps) >= 6
    assert found[-1] < found[0] - 0.2
    assert (undisturbed.output / "best" / "adapter_model.safetensors").stat().st_size > 10_000


def test_a_stopped_run_says_143_and_goes_on_bit_equal(base, tmp_path, undisturbed):
    settings = settings_of(base, tmp_path)
    process = start(settings, SECONDS_PER_STEP="0.5")
    for line in process.stdout:
        if line.startswith("STEP 2"):
            os.kill(process.pid, signal.SIGTERM)
            break
    said = process.communicate(timeout=100)[0]
    assert process.returncode == 143, said
    assert "the checkpoint is complete" in said
    code, said = run(settings)
    assert code == 0, said
    assert losses(settings) == losses(undisturbed)
    assert (settings.output / "adapter" / "adapter_model.safetensors").read_bytes() == (
        undisturbed.output / "adapter" / "adapter_model.safetensors"
    ).read_bytes()


def test_a_killed_run_goes_on_from_its_last_complete_checkpoint(base, tmp_path, undisturbed):
    settings = settings_of(base, tmp_path)
    code, said = run(settings, DIE_AT="3")
    assert code not in (0, 143), said
    half = settings.output / "checkpoints" / "step-0000003.tmp"
    half.mkdir()
    code, said = run(settings)
    assert code == 0, said
    assert "STEP 2" in said and "STEP 1\n" not in said
    assert losses(settings) == losses(undisturbed)


def test_one_process_has_the_losses_of_two(base, tmp_path, undisturbed):
    settings = settings_of(base, tmp_path)
    code, said = run(settings, processes=1)
    assert code == 0, said
    assert losses(settings) == pytest.approx(losses(undisturbed), rel=1e-5)


def test_sharded_layers_have_the_losses_of_whole_ones(base, tmp_path, undisturbed):
    settings = settings_of(base, tmp_path, strategy="fsdp", recompute=True)
    code, said = run(settings)
    assert code == 0, said
    assert losses(settings) == pytest.approx(losses(undisturbed), rel=1e-5)


def test_another_runs_checkpoint_is_refused_with_its_own_code(base, tmp_path, undisturbed):
    other = settings_of(base, undisturbed.output, learning_rate=1e-3)
    code, said = run(other)
    assert code == 77, said
    assert "a checkpoint of another run" in said
