"""`xperience qwen3-omni train` as a user and a pod start it, on real windows: signals, kills, codes, metrics, hosts."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "windows"))

import pytest
from staged import stage

from xperience.common.settings.windows import WindowsBuildSettings
from xperience.common.shards import Shard
from xperience.windows.build import build

pytestmark = pytest.mark.timeout(600)
CHECKPOINT_EVERY, STEPS = 3, 25


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    staged = stage(folder)
    settings = WindowsBuildSettings(
        windows=folder / "windows", manifest_json=staged.manifest, cameras="fisheye_cam0", frame_pixels=32,
        frame_rate_hz=1, jobs=1,
    )  # fmt: skip
    build(settings, shard=Shard(), stop=threading.Event())
    return settings.windows


class Training:
    """The command on one folder of windows, and what it left in its output."""

    def __init__(self, windows, base, output, **flags):
        self.output = output
        self.flags = {
            "windows": windows, "base": base, "output": output, "dtype": "float32", "lora-rank": 4, "lora-alpha": 8,
            "learning-rate": 3e-3, "warm-up-steps": 2, "epochs": 10, "pack-tokens": 600, "packs-per-step": 2,
            "loader-workers": 1, "checkpoint-every-steps": CHECKPOINT_EVERY, "validate-every-steps": 8, "patience": 0,
            "processes": 2,
        } | flags  # fmt: skip

    def start(self, **environment):
        arguments = [str(part) for name, value in self.flags.items() for part in (f"--{name}", value)]
        return subprocess.Popen(
            [sys.executable, "-m", "xperience", "qwen3-omni", "train", *arguments], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment,
        )  # fmt: skip

    def run(self, expect=0):
        process = self.start()
        told, _ = process.communicate(timeout=300)
        assert process.returncode == expect, told
        return told

    def losses(self):
        place = self.output / "metrics.jsonl"
        text = place.read_text() if place.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return {line["step"]: line["loss"] for line in lines if line["event"] == "step"}

    def checkpoints(self):
        return sorted(place.parent.name for place in self.output.glob("checkpoints/step-*/checkpoint.json"))

    def adapter(self):
        return {place.name: place.read_bytes() for place in (self.output / "adapter").iterdir()}

    def wait_for(self, step, process):
        deadline = time.monotonic() + 200
        while step not in self.losses():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)


def descendants(pid):
    """Launcher → torchrun → workers → their loaders."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def alive(pids):
    found = []
    for pid in pids:
        try:
            state = re.search(r"\) (\S)", Path(f"/proc/{pid}/stat").read_text())[1]
        except OSError:
            continue
        found += [pid] if state != "Z" else []
    return found


@pytest.fixture(scope="module")
def undisturbed(windows, base, tmp_path_factory):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    training = Training(windows, base, tmp_path_factory.mktemp("undisturbed"), **{"metrics-port": port})
    process = training.start()
    training.wait_for(5, process)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        training.metrics = answer.read().decode()
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert "the plan is done" in told
    return training


def test_a_run_on_windows_learns_and_says_what_it_was_made_of(undisturbed, windows):
    losses = undisturbed.losses()
    assert sorted(losses) == list(range(1, STEPS + 1))
    assert losses[STEPS] < losses[1] - 0.3
    run = json.loads((undisturbed.output / "run.json").read_text())
    assert run["inputs"]["windows"] == json.loads((windows / "windows.json").read_text())["content_sha256"]
    assert len(run["inputs"]["base"]) == 64
    assert len(run["sessions"]) == 3


def test_a_run_answers_on_its_metrics_port_while_it_trains(undisturbed):
    values = dict(re.findall(r"^(xperience_train_\w+) (\S+)$", undisturbed.metrics, re.MULTILINE))
    assert set(values) >= {
        f"xperience_train_{name}"
        for name in ("tokens_total", "supervised_tokens_total", "loss", "step", "step_seconds", "memory_bytes", "mfu")
    }
    step = int(float(values["xperience_train_step"]))
    assert 4 <= step <= STEPS
    assert float(values["xperience_train_tokens_total"]) >= 400 * step
    assert float(values["xperience_train_supervised_tokens_total"]) >= 40 * step
    assert undisturbed.losses()[step] == pytest.approx(float(values["xperience_train_loss"]), abs=0.5)


def test_whatever_ends_a_run_the_same_command_goes_on_bit_equal(windows, base, tmp_path, undisturbed):
    training = Training(windows, base, tmp_path)

    process = training.start()
    training.wait_for(4, process)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=200)
    assert process.returncode == 143, told
    done = max(training.losses())
    assert f"stopped after step {done}, the checkpoint is complete" in told
    assert training.checkpoints()[-1] == f"step-{done:07d}"

    process = training.start()
    training.wait_for(done + CHECKPOINT_EVERY + 1, process)
    whole_group = [process.pid, *descendants(process.pid)]
    assert len(whole_group) >= 4
    for pid in whole_group:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    lost = max(training.losses()) - int(training.checkpoints()[-1].removeprefix("step-"))
    assert 0 <= lost <= CHECKPOINT_EVERY

    process = training.start()
    training.wait_for(max(training.losses()) + CHECKPOINT_EVERY, process)
    others = descendants(process.pid)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while alive(others):  # none goes on behind the back of the one that will be started next
        assert time.monotonic() < deadline
        time.sleep(0.05)

    training.run()
    assert training.losses() == undisturbed.losses()
    assert training.adapter() == undisturbed.adapter()


def test_a_worker_that_is_killed_ends_the_run_with_its_signal_which_is_worth_another_try(windows, base, tmp_path):
    training = Training(windows, base, tmp_path)
    process = training.start()
    training.wait_for(1, process)
    torchrun = next(iter(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())))
    workers = list(map(int, Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()))
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    told, _ = process.communicate(timeout=200)
    assert process.returncode in (137, 134), told  # the other one may be the first to notice


def test_a_worker_that_refuses_keeps_its_code_and_its_message(windows, base, undisturbed):
    other = Training(windows, base, undisturbed.output, **{"lora-alpha": 16})
    process = other.start(PET_MAX_RESTARTS="3")  # as the operator sets it
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 77, told
    assert "a checkpoint of another run" in told.splitlines()[-1]
    assert told.count("a checkpoint of another run") <= 3  # by each of two workers and the launcher: never tried again


def hosts(windows, base, output):
    """Two launchers of one process each, as two pods of a PyTorchJob with an elasticPolicy are told to meet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    elastic = {
        "PET_NNODES": "2:2", "PET_NPROC_PER_NODE": "1", "PET_RDZV_BACKEND": "c10d", "PET_RDZV_ID": "test",
        "PET_RDZV_ENDPOINT": f"127.0.0.1:{port}", "PET_MAX_RESTARTS": "0",
    }  # fmt: skip
    training = Training(windows, base, output)
    return training, [training.start(**elastic) for _ in range(2)]


@pytest.mark.parametrize(
    ("number", "codes"),
    [pytest.param(signal.SIGTERM, {143}, id="SIGTERM"), pytest.param(signal.SIGKILL, {134, 137}, id="kill -9")],
)
def test_two_hosts_end_together_with_codes_that_are_worth_another_try(windows, base, tmp_path, number, codes):
    training, (one, other) = hosts(windows, base, tmp_path)
    training.wait_for(4, one)
    ended = [one.pid, *descendants(one.pid)] if number == signal.SIGKILL else [one.pid]
    for pid in ended:
        os.kill(pid, number)
    told = [process.communicate(timeout=200)[0] for process in (one, other)]
    assert other.returncode in codes, told
    if number == signal.SIGTERM:
        assert one.returncode == 143, told
        done = max(training.losses())
        assert all(f"stopped after step {done}, the checkpoint is complete" in text for text in told)
        assert training.checkpoints()[-1] == f"step-{done:07d}"
        found = training.output / "checkpoints" / f"step-{done:07d}"
        assert {place.name for place in found.glob("*.distcp")} == {"__0_0.distcp", "__1_0.distcp"}
