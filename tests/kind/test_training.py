"""The tutorial's way, from the relay to the report of a training on two nodes; what may go wrong on it; Cosmos."""

import json
import os
import subprocess

import pytest
import tutorial
from ground import HERE, NAMESPACE, ROOT, SHARED, TORCH, WORKER, Cluster, prepare_training_ground, wait_for
from relays import check_by_an_independent_job, install, merged, ssh
from test_prepare import verdicts

TRAIN, COSMOS = (ROOT / "charts" / name for name in ("qwen3-omni", "cosmos3-nano"))
TRAIN_VALUES = tutorial.values("train")
TINY = merged(tutorial.values("train", "settings", "data"), {"data": {"claim": "shared"}, "trainer": {"workers": 1}})
POST_TRAINING = {"stage": "post-training", "model": {"path": "models/tiny-nano"}}


def lines(output: str) -> list[dict]:
    """What a run has told of its steps so far."""
    place = SHARED / output / "metrics.jsonl"
    return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


def steps(output: str) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in lines(output) if line["event"] == "step"}


def train(cluster: Cluster, release: str, *values: dict) -> str:
    """Install; the job's name."""
    cluster.helm("install", release, TRAIN, values=merged(TRAIN_VALUES, {"data": {"outputPath": release}}, *values))
    return training_job(
        cluster, release, "trainjob" if "api" in merged({}, *values).get("trainer", {}) else "pytorchjob"
    )


def training_job(cluster: Cluster, release: str, kind: str = "pytorchjob") -> str:
    (job,) = cluster.get(kind, "-l", f"app.kubernetes.io/instance={release}")["items"]
    return job["metadata"]["name"]


def workers(cluster: Cluster, release: str) -> dict[str, dict]:
    found = cluster.get("pods", "-l", f"app.kubernetes.io/instance={release}")["items"]
    return {pod["metadata"]["name"]: pod for pod in found}


def ended_already(cluster: Cluster, kind: str, job: str) -> str:
    conditions = cluster.get(kind, job).get("status", {}).get("conditions", [])
    ends = {"Succeeded", "Complete", "Failed"}
    return next((one["type"] for one in conditions if one["status"] == "True" and one["type"] in ends), "")


def ended(cluster: Cluster, kind: str, job: str, seconds: float = 300) -> str:
    """The condition that ends a PyTorchJob or a TrainJob."""
    try:
        return str(wait_for(lambda: ended_already(cluster, kind, job), f"end of {job}", seconds, every=2))
    except AssertionError as error:
        told = cluster.kubectl("describe", "pods", expect=None)[-4000:]
        logs = cluster.kubectl("logs", "-l", "app.kubernetes.io/component=worker", "--all-containers", expect=None)
        raise AssertionError(f"{error}\n{told}\n{logs[-4000:]}") from error


@pytest.fixture(scope="module")
def staged(cluster: Cluster) -> Cluster:
    """Data relayed to S3 and prepared on a claim that both nodes have; the operator, the image, the tiny model."""
    if not (TORCH / "torch").is_dir():
        assert not os.environ.get("CI"), "CI has to have torch for Python 3.11: make environment-train"
        pytest.skip("there is no torch for Python 3.11 (make environment-train before the cluster is made)")
    prepare_training_ground(cluster)
    printed = tutorial.follow(cluster, "Relay", "Prepare")
    assert "relay complete" in printed
    assert set(verdicts(cluster, cluster.job("prepare")).values()) == {"pass"}
    return cluster


@pytest.fixture(scope="module")
def windows(staged: Cluster) -> Cluster:
    """The audit is reviewed, and the windows are made."""
    tutorial.follow(staged, "Review and windows")
    staged.complete(staged.job("windows"))
    return staged


def test_training_is_refused_before_the_audit_is_reviewed(staged):
    job = train(staged, "unreviewed")
    assert ended(staged, "pytorchjob", job) == "Failed"
    for name, pod in workers(staged, "unreviewed").items():
        assert "audit-reviewed" in staged.kubectl("logs", name, "-c", "gate")
        (status,) = pod["status"]["containerStatuses"]
        assert status["state"]["terminated"]["exitCode"] == 77
        assert "gates for train do not pass" in status["state"]["terminated"]["message"]
    assert not steps("unreviewed")
    told = staged.status()[job]
    assert (told["stage"], told["state"]) == ("qwen3-omni", "failed")
    assert "exit 77" in told["last_error"]
    staged.helm("uninstall", "unreviewed")


def test_a_worker_that_goes_in_mid_training_costs_nothing(windows):
    cluster = windows
    calm = tutorial.start(cluster, "Train")
    wait_for(lambda: len(steps("train")) > 2, "three steps", 240)
    job, pods = training_job(cluster, "train"), workers(cluster, "train")
    assert len({pod["spec"]["nodeName"] for pod in pods.values()}) == 2
    first = f"/api/v1/namespaces/{NAMESPACE}/pods/{job}-worker-0:9090/proxy/metrics"
    scraped = dict(
        line.split(" ") for line in cluster.kubectl("get", "--raw", first).splitlines() if line.startswith("xperience_")
    )
    assert float(scraped["xperience_train_step"]) > 0
    assert float(scraped["xperience_train_supervised_tokens_total"]) > 0
    tutorial.done(calm)
    assert ended(cluster, "pytorchjob", job) == "Succeeded"
    log = [json.loads(line) for line in cluster.kubectl("logs", f"{job}-worker-0", "-c", "pytorch").splitlines()
           if line.startswith("{")]  # fmt: skip
    assert any(line["event"] == "training" and line["processes"] == 2 for line in log)

    job = train(cluster, "disturbed")
    wait_for(lambda: len(steps("disturbed")) > len(steps("train")) // 4, "a quarter of the steps", 240)
    before = workers(cluster, "disturbed")[f"{job}-worker-1"]["metadata"]["uid"]
    cluster.kubectl("delete", "pod", f"{job}-worker-1", "--wait=false")
    assert ended(cluster, "pytorchjob", job) == "Succeeded"
    assert workers(cluster, "disturbed")[f"{job}-worker-1"]["metadata"]["uid"] != before
    assert any((SHARED / "disturbed" / "checkpoints").iterdir())
    assert cluster.status()[job]["state"] == "complete"
    assert steps("disturbed") == steps("train")


def test_a_node_that_goes_and_comes_back_costs_the_relay_and_the_training_on_it_nothing(windows):
    """The relay's claim is on that node: its pod has to wait for it. Nobody helps either."""
    cluster, store = windows, ssh("node")
    job = train(cluster, "node-train")
    wait_for(lambda: len(steps("node-train")) > 2, "three steps", 240)
    install(cluster, "node", store, {"nodeSelector": {"kubernetes.io/hostname": WORKER}})
    relay = cluster.job("node")
    cluster.wait_for_event(cluster.running_pod(relay), "verified")
    assert WORKER in {pod["spec"]["nodeName"] for pod in workers(cluster, "node-train").values()}
    with cluster.without(WORKER):
        assert not ended_already(cluster, "pytorchjob", job)
    cluster.complete(relay, 240)
    assert cluster.status()[relay]["failed_pods"] <= 1
    check_by_an_independent_job(cluster, "node", store)
    assert ended(cluster, "pytorchjob", job) == "Succeeded"
    assert cluster.status()[job]["state"] == "complete"
    assert steps("node-train") == steps("train")


def test_the_adapter_is_evaluated_in_shards_beside_its_baselines_and_the_report_has_it(windows):
    tutorial.follow(windows, "Evaluate")
    windows.complete(windows.job("evaluate"))
    report = json.loads((SHARED / "train" / "evaluation" / "evaluation.json").read_text())
    assert report["windows"] > 0
    assert "zero-shot" in json.dumps(report["fields"]["action"]["baselines"]).replace("_", "-")
    page = (ROOT / "build" / "kind" / "report.html").read_text()
    assert "zero-shot" in page


@pytest.fixture(scope="module")
def records(windows: Cluster) -> Cluster:
    """The records of Cosmos3-Nano's tasks."""
    values = {"stage": "export", "settings": {"clips": 2, "text_clips": 1}}
    windows.helm("install", "records", COSMOS, values=merged(TINY, values))
    windows.complete(windows.job("records"), 300)
    return windows


def cosmos(cluster: Cluster, release: str, *values: dict) -> str:
    cluster.helm("install", release, COSMOS, values=merged(TINY, *values))
    (job,) = cluster.get("pytorchjob", "-l", f"app.kubernetes.io/instance={release}")["items"]
    return job["metadata"]["name"]


def test_cosmos_post_training_is_refused_without_its_gates(records):
    job = cosmos(records, "too-early", POST_TRAINING)
    assert ended(records, "pytorchjob", job) == "Failed"
    (name, *_) = workers(records, "too-early")
    assert "cosmos-compatibility" in records.kubectl("logs", name, "-c", "gate")
    records.helm("uninstall", "too-early")


def test_cosmos_compatibility_is_shown_by_two_workers_that_share_the_clips(records):
    job = cosmos(records, "compatibility", {"trainer": {"workers": 2}})
    assert ended(records, "pytorchjob", job) == "Succeeded"
    assert len({pod["spec"]["nodeName"] for pod in workers(records, "compatibility").values()}) == 2
    record = json.loads((SHARED / "evidence" / "cosmos3_nano_compatibility.json").read_text())
    assert record["levels"]["L0"] == "pass"
    assert record["required_levels"] == ["L0"]
    assert len(record["clips"]) == len(record["host"]["workers"]) == 2


def test_cosmos_is_post_trained_on_two_nodes_once_its_gates_pass(records):
    from xperience.cosmos3_nano.tiny import write_tiny_base

    for place in write_tiny_base(SHARED / "models" / "tiny-nano").rglob("*.safetensors"):
        place.chmod(0o644)
    settings = {
        "dtype": "float32", "samples_per_step": 2, "grid_samples": 1, "warm_up_steps": 1, "checkpoint_every_steps": 2,
    }  # fmt: skip
    job = cosmos(records, "post-training", POST_TRAINING, {"trainer": {"workers": 2}, "settings": settings})
    assert ended(records, "pytorchjob", job) == "Succeeded"
    assert len({pod["spec"]["nodeName"] for pod in workers(records, "post-training").values()}) == 2
    record = json.loads((SHARED / "evidence" / "cosmos3_nano_post_training.json").read_text())
    compatibility = json.loads((SHARED / "evidence" / "cosmos3_nano_compatibility.json").read_text())
    assert record["inputs"]["compatibility"] == compatibility["content_sha256"]
    assert record["parts"]["generator"]["steps"] > 2
    log = records.kubectl("logs", f"{job}-worker-0", "-c", "pytorch")
    assert any(json.loads(line).get("processes") == 2 for line in log.splitlines() if line.startswith("{"))


def test_the_same_pod_trains_as_a_trainjob(windows):
    done = subprocess.run([HERE / "cluster", "trainer-v2"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    job = train(windows, "second-api", {"trainer": {"api": "trainjob"}}, {"settings": {"epochs": 4}})
    assert ended(windows, "trainjob", job) == "Complete"
    assert steps("second-api")
