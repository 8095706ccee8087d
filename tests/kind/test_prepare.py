"""Preparation on what a relay brought: from S3 to a claim in shards, and on a claim that holds damaged data."""

import json

import tutorial
from ground import ROOT, Cluster
from relays import install, merged, s3, ssh

CHART = ROOT / "charts" / "prepare"


def prepare(cluster: Cluster, release: str, *values: dict) -> str:
    """Install; the Job's name."""
    common = tutorial.values("prepare", "data", "source")
    cluster.helm(
        "install", release, CHART, "--set-file", f"selection.packed={cluster.packed}", values=merged(common, *values)
    )
    return cluster.job(release)


def verdicts(cluster: Cluster, job: str) -> dict[str, str]:
    return json.loads(cluster.get("configmap", f"{job}-progress")["data"]["gates"])


def test_shards_bring_and_check_what_lies_in_s3_and_the_gates_pass(cluster):
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "training"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    cluster.apply(claim)
    store = s3("bring")
    install(cluster, "bring", store)
    cluster.complete(cluster.job("bring"))
    source = {**{k: v for k, v in store["store"]["s3"].items() if k != "writerSecret"}}
    job = prepare(
        cluster, "good", {"data": {"claim": "training"}, "source": {"s3": source}, "check": {"shards": 2}},
        {"settings": {"chunk_size_mib": 1, "chunk_threshold_mib": 1}},
    )  # fmt: skip
    cluster.complete(job)
    found = verdicts(cluster, job)
    assert set(found.values()) == {"pass"}, found
    assert {"staged", "usable-data", "reproducible-chain"} <= set(found)
    told = cluster.events(job)
    assert "gates for prepare pass" in told["PrepareComplete"]
    assert len([pod for pod in cluster.pods(job) if pod["status"]["phase"] == "Succeeded"]) == 2
    status = cluster.status()[job]
    assert (status["stage"], status["state"], status["progress"]["state"]) == ("prepare", "complete", "complete")
    first = next(pod for pod in cluster.pods(job) if pod["metadata"]["name"].startswith(f"{job}-0"))
    log = cluster.kubectl("logs", first["metadata"]["name"], "-c", "prepare")
    headings = [line for line in log.splitlines() if line.startswith("== ")]
    assert headings == ["== check", "== discover", "== manifest", "== audit", "== gates"]


def test_damaged_data_fails_its_gates_where_everyone_sees_it(cluster):
    install(cluster, "damaged", ssh("damaged"))
    cluster.complete(cluster.job("damaged"))
    path = next(path for path in cluster.hashes() if path.endswith("stereo_left.mp4"))
    flip = f"printf X | dd of=/data/damaged/{path} bs=1 seek=1000 conv=notrunc"
    cluster.kubectl("exec", "deploy/ssh", "--", "sh", "-c", flip)
    job = prepare(cluster, "bad", {"data": {"claim": "ssh-data", "path": "damaged", "evidencePath": "evidence-bad"}})
    cluster.ended(job, "Failed")
    found = verdicts(cluster, job)
    assert found["staged"] != "pass"
    assert found["split-leakage"] == "pass"
    assert "staged" in cluster.events(job)["PrepareFailed"]
    status = cluster.status()[job]
    assert (status["state"], status["failed_pods"]) == ("failed", 1)
    assert status["last_error"].startswith("prepare exit 77")
    names = cluster.kubectl("exec", "deploy/ssh", "--", "ls", "/data/evidence-bad").split()
    assert {"check.json", "episode_manifest_128.json", "staged_content_audit_128.json", "gates_prepare.json"} <= set(
        names
    )
