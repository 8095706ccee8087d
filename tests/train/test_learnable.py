import json
import subprocess
import time

import pytest
from learnable import Commands, learn, make

from xperience.common.settings import EVIDENCE
from xperience.gates.bundle import EvaluationView
from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.compare import ABOVE, NOT_ABOVE
from xperience.qwen3_omni.evaluate import Evaluation
from xperience.windows.dataset import ARTEFACT, WindowsDataset

# The longest of the suite: some 150 CPU seconds. One worker runs all of it, on the same episodes.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.xdist_group("learnable")]


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    return Commands(tmp_path_factory.mktemp("learnable"))


@pytest.fixture(scope="module")
def made(commands):
    return make(commands.folder, commands)


@pytest.fixture(scope="module")
def learnt(commands, made):
    base, windows, _ = made
    output = commands.folder / "learnt"
    learn(commands, "shown", base, windows, output)
    return output


def test_what_frames_show_is_learnt_and_is_above_every_fair_baseline(commands, made, learnt):
    report = Evaluation.read(learnt / "evaluation" / "evaluation.json")
    action = report.fields["action"]
    assert len(report.sessions) == 16 and report.windows == 64
    assert action.verdict == ABOVE and action.accuracy > 0.8
    assert set(action.baselines) == {"train majority", "metadata", "per-session majority", "zero-shot base model"}
    cpu = sum(cpu for name, (_, cpu) in commands.took.items() if name.startswith("shown"))
    print(f"CPU seconds: {cpu:.0f} of {commands.took}")


def test_the_report_is_what_its_gate_reads(made, learnt):
    _, windows, _ = made
    found = EvaluationView.read(learnt.parent / EVIDENCE / "qwen3_omni_evaluation.json")
    assert found.content_sha256 == Evaluation.read(learnt / "evaluation" / "evaluation.json").content_sha256
    assert found.protocol and all(found.protocol.values())
    assert found.inputs["manifest"] == WindowsDataset.read(windows / ARTEFACT).inputs["episode_manifest"]
    assert len(found.test_episodes) == 16 and len(found.train_episodes) == 12
    assert not set(found.test_episodes) & set(found.train_episodes)


def test_an_adapter_is_not_evaluated_on_another_base(commands, made, learnt):
    _, windows, _ = made
    other = tiny.write_tiny_base(commands.folder / "other", seed=1)
    told = commands.run(
        "other base", "qwen3-omni", "evaluate", "--base", other, "--windows", windows, "--output", learnt, expect=77
    )
    assert "belongs to another base model" in told


def test_with_labels_dealt_anew_nothing_is_above_baseline(commands, made):
    base, _, shuffled = made
    output = commands.folder / "shuffled"
    learn(commands, "shuffled", base, shuffled, output)
    report = Evaluation.read(output / "evaluation" / "evaluation.json")
    assert report.fields["action"].verdict == NOT_ABOVE
    assert all(report.protocol.values())


def test_shards_that_are_killed_go_on_and_make_the_same_report(commands, made, learnt):
    base, windows, _ = made
    asked = ("qwen3-omni", "evaluate", "--base", base, "--windows", windows, "--output", learnt, "--dtype", "float32")
    whole = json.loads((learnt / "evaluation" / "evaluation.json").read_text())
    (learnt / "evaluation" / "predictions.jsonl").unlink()
    by_last_shard = learnt / "evaluation" / "evaluation.json"
    by_last_shard.unlink()
    place = learnt / "evaluation" / "predictions-0-of-2.jsonl"
    killed = subprocess.Popen(
        commands.arguments(*asked, "--shard", "0/2", "--batch", "2"), env=commands.environment, cwd=commands.folder
    )
    while killed.poll() is None and (not place.exists() or place.read_bytes().count(b"\n") < 5):
        time.sleep(0.02)
    killed.kill()
    assert killed.wait() == -9
    found = place.read_bytes().count(b"\n") - 1
    assert 4 <= found < 32
    with place.open("a") as file:
        file.write('{"id": "half a li')  # what a kill in the midst of a write leaves
    with pytest.raises(RuntimeError, match="the answers are not those of the test windows"):
        commands.run("merge too early", *asked, "--merge", "--shards", "2")
    for number in range(2):
        commands.run(f"shard {number}", *asked, "--shard", f"{number}/2")
    assert by_last_shard.exists()
    lines = [json.loads(line) for line in place.read_text().splitlines()[1:]]
    assert len(lines) == len({line["id"] for line in lines}) == 32
    commands.run("merge", *asked, "--merge", "--shards", "2")
    merged = json.loads((learnt / "evaluation" / "evaluation.json").read_text())
    assert merged["content_sha256"] == whole["content_sha256"]
