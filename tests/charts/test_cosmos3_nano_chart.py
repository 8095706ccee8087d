"""The chart of Cosmos3-Nano: what each stage runs, behind which gate, and what it refuses."""

import pytest
import yaml
from conftest import CHARTS, PODS, one, pods, refusal, render
from test_relay_chart import env_of, with_values

CHART = "cosmos3-nano"
EXPORT, COMPATIBILITY, TRAIN, OFFICIAL = (
    yaml.safe_load((CHARTS / CHART / "ci" / f"{name}-values.yaml").read_text())
    for name in ("export", "compatibility", "post-training", "official-trainer")
)


def containers(values):
    """Gate and worker of the one pod."""
    (pod,) = pods(render(CHART, values))
    (gate,) = pod["spec"]["initContainers"]
    (worker,) = pod["spec"]["containers"]
    return gate, worker


@pytest.mark.parametrize(
    ("values", "kind", "step", "command"),
    [
        pytest.param(EXPORT, "Job", "cosmos-compatibility", "export", id="export"),
        pytest.param(COMPATIBILITY, "PyTorchJob", "cosmos-compatibility", "check", id="compatibility"),
        pytest.param(TRAIN, "PyTorchJob", "cosmos-post-training", "train", id="post-training"),
    ],
)
def test_each_stage_runs_its_command_behind_its_gate(values, kind, step, command):
    assert [item["kind"] for item in render(CHART, values) if item["kind"] in PODS] == [kind]
    gate, worker = containers(values)
    assert gate["command"][-1] == step
    assert worker["command"][-1] == step
    assert worker["args"] == ["xperience", "cosmos3-nano", command]
    assert gate["image"] == worker["image"]


def test_records_and_the_compatibility_record_lie_where_the_next_stage_looks():
    exported, checked, trained = (env_of(containers(values)[1]) for values in (EXPORT, COMPATIBILITY, TRAIN))
    assert exported["XPERIENCE_RECORDS"] == checked["XPERIENCE_RECORDS"] == trained["XPERIENCE_RECORDS"]
    assert checked["XPERIENCE_OUTPUT"] == f"{trained['XPERIENCE_EVIDENCE']}/cosmos3_nano_compatibility.json"
    assert "XPERIENCE_OUTPUT" not in exported


def test_compatibility_needs_no_model_and_mounts_none():
    (pod,) = pods(render(CHART, COMPATIBILITY))
    assert "models" not in {volume["name"] for volume in pod["spec"]["volumes"]}
    assert "/models" not in {mount["mountPath"] for mount in containers(COMPATIBILITY)[1]["volumeMounts"]}


def test_a_refused_export_is_not_tried_again():
    job = one(render(CHART, EXPORT), "Job")["spec"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    codes = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert [(code["containerName"], 77 in code["values"]) for code in codes] == [("export", True)]


def test_the_official_trainer_runs_behind_the_same_gate():
    gate, worker = containers(OFFICIAL)
    assert gate["image"].startswith("xperience/train:")
    assert worker["image"] == OFFICIAL["officialTrainer"]["image"]
    assert worker["args"] == OFFICIAL["officialTrainer"]["command"]
    assert gate["command"][-1] == worker["command"][-1] == "cosmos-post-training"


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (TRAIN, {"stage": "full"}, "stage is export, compatibility or post-training"),
        (TRAIN, {"model__claim": ""}, "model.claim is missing"),
        (EXPORT, {"trainer": {"workers": 2}}, "trainer.workers is more than 1"),
        (COMPATIBILITY, {"trainer": {"workers": 3}}, "settings.clips is 2: 3 processes share the clips"),
        (COMPATIBILITY, {"trainer": {"workers": 4}, "settings": {"clips": 7}, "gpu": {"count": 2}}, "8 processes"),
        (OFFICIAL, {"officialTrainer__command": []}, "go together"),
        (OFFICIAL, {"stage": "compatibility"}, "for stage post-training"),
        (EXPORT, {"data__recordsPath": "../x"}, "data.recordsPath is a folder in its claim"),
        (EXPORT, {"data__claim": ""}, "data.claim is missing"),
    ],
)
def test_what_cannot_work_is_refused(base, changes, said):
    assert said in refusal(CHART, with_values(base, **changes))
