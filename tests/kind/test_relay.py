"""`helm install` of the relay on real kubelets, and what may go wrong there."""

import time

import pytest
from ground import Cluster, run, wait_for
from relays import check_by_an_independent_job, install, manifest, s3, ssh, tmpfs_volume


def kill_sidecar(cluster: Cluster, pod: str) -> None:
    """kill -9 of the rclone container, from the node's own container runtime."""
    found = cluster.get("pod", pod)
    (status,) = (item for item in found["status"]["initContainerStatuses"] if item["name"] == "rclone")
    container = status["containerID"].removeprefix("containerd://")
    run("docker", "exec", found["spec"]["nodeName"], "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", container)


def restarts_of_sidecar(cluster: Cluster, pod: str) -> int:
    statuses = cluster.get("pod", pod)["status"]["initContainerStatuses"]
    return next(item["restartCount"] for item in statuses if item["name"] == "rclone")


def test_ssh_one_install_moves_the_selection_and_shows_it(cluster):
    """No fault: progress, metrics, logs, status, events, verification by helm test and by an independent job."""
    store = ssh("plain")
    install(cluster, "plain", store)
    job = cluster.job("plain")
    pod = cluster.running_pod(job)
    address = f"/api/v1/namespaces/xperience/pods/{pod}:9464/proxy/metrics"

    def moving() -> str:
        text = cluster.kubectl("get", "--raw", address, expect=None)
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return text if float(lines.get('xperience_relay_bytes_total{leg="transfer"}', 0)) > 0 else ""

    text = str(wait_for(moving, "bytes in the metrics through the API server's proxy", 60))
    assert 'xperience_relay_scratch_bytes{kind="budget"}' in text
    shown = wait_for(lambda: (cluster.status()[job].get("progress") or {}).get("done"), "progress in the status", 30)
    assert 0 < int(str(shown)) <= cluster.status()[job]["progress"]["total"]
    cluster.complete(job)
    found = cluster.status()[job]
    assert (found["state"], found["progress"]["state"], found["failed_pods"]) == ("complete", "complete", 0)
    told = cluster.events(job)
    assert {"PreflightStarted", "RelayStarted", "RelayComplete"} <= set(told)
    assert f"{len(cluster.hashes())} of {len(cluster.hashes())} files" in told["RelayComplete"]
    ended = cluster.get("pod", pod)["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["message"].startswith("relay complete")
    # Logs: one JSON line per event in both, and a file can be followed through them.
    relay, sidecar = cluster.log(pod, "relay"), cluster.log(pod, "rclone")
    path = next(path for path in cluster.hashes() if path.endswith("annotation.hdf5"))
    assert {line["event"] for line in relay if line.get("path") == path} >= {"downloaded", "verified"}
    assert any(path in str(line.get("object", "")) for line in sidecar)
    assert cluster.kubectl("logs", pod, "-c", "relay").strip().splitlines()[-1].strip().startswith("wall")
    cluster.helm("test", "plain")
    (container,) = (
        one for one in cluster.get("pod", pod)["status"]["initContainerStatuses"] if one["name"] == "rclone"
    )
    assert container["state"]["terminated"]["exitCode"] in (0, 143)  # told to end, as the relay was done
    assert cluster.status()[job]["last_error"] == ""
    check_by_an_independent_job(cluster, "plain", store)


def test_s3_ends_whole_though_pod_sidecar_and_hub_are_taken_away(cluster):
    store = s3("faults")
    install(cluster, "faults", store)
    job = cluster.job("faults")
    pod = cluster.running_pod(job)
    cluster.wait_for_event(pod, "verified")
    cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    second = str(wait_for(lambda: (now := cluster.running_pod(job)) != pod and now, "another pod", 90))
    cluster.wait_for_event(second, "verified")
    kill_sidecar(cluster, second)
    wait_for(lambda: restarts_of_sidecar(cluster, second) == 1, "the sidecar's restart", 60)
    without_hub(cluster, 20)
    cluster.complete(job, 240)
    cluster.helm("test", "faults")
    check_by_an_independent_job(cluster, "faults", store)


def without_hub(cluster: Cluster, seconds: float) -> None:
    cluster.kubectl("scale", "deployment/hub", "--replicas=0")
    time.sleep(seconds)
    cluster.kubectl("scale", "deployment/hub", "--replicas=1")
    cluster.kubectl("rollout", "status", "deployment/hub", "--timeout=60s")


@pytest.mark.parametrize(
    ("release", "values", "container", "message"),
    [
        pytest.param(
            "token", {"hub": {"tokenSecret": {"name": "wrong-token"}}}, "preflight", "does not accept the token",
            id="wrong-token",
        ),
        pytest.param("stranger", ssh("stranger", "stranger-key"), "preflight", "host key", id="unknown-host-key"),
        pytest.param(
            "full", {"scratch": {"storageClassName": "small"}, "settings": {"scratch_budget_gib": 0.05}}, "preflight",
            "scratch has no room", id="full-scratch",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_fails_within_a_minute_without_retries_and_says_why(
    cluster, release, values, container, message
):
    if release == "full":
        tmpfs_volume(cluster, "small", 16)  # less than headroom and selection take
    started = time.monotonic()
    install(cluster, release, ssh(release), values)
    job = cluster.job(release)
    wait_for(lambda: cluster.condition(job) == "Failed", f"{release} to fail", 60)
    assert time.monotonic() - started < 60
    found = cluster.status()[job]
    assert found["state"] == "failed"
    assert found["failed_pods"] == 1
    assert message in found["last_error"]
    assert found["last_error"].startswith(container)
    assert found["progress"]["state"] == "failed"
    assert message in cluster.events(job)["PreflightFailed"]
    events = cluster.kubectl("get", "events", "--field-selector", f"involvedObject.name={job}")
    assert message in events
    cluster.helm("uninstall", release)


def test_two_shards_on_two_nodes_bring_what_one_relay_brings(cluster):
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    spread["labelSelector"] = {"matchLabels": {"app.kubernetes.io/instance": "shards"}}
    store = ssh("shards")
    install(cluster, "shards", store, {"relay": {"shards": 2}, "topologySpreadConstraints": [spread]})
    jobs = cluster.jobs("shards")
    assert len(jobs) == 2
    for job in jobs:
        cluster.complete(job)
    nodes = {pod["spec"]["nodeName"] for job in jobs for pod in cluster.pods(job)}
    assert len(nodes) == 2
    check_by_an_independent_job(cluster, "shards", store)
    of_two, of_one = manifest(cluster, "shards"), manifest(cluster, "plain")
    assert of_two["files"] == of_one["files"]
    states = cluster.status()
    assert sum(states[job]["progress"]["done"] for job in jobs) == sum(file["size_bytes"] for file in of_one["files"])


def test_an_upgrade_makes_a_new_job_that_goes_on_and_an_uninstall_leaves_the_claim_it_was_told_to_keep(cluster):
    store = ssh("upgrade")
    keep = {"scratch": {"keep": True}}
    install(cluster, "upgrade", store, keep)
    first = cluster.job("upgrade")
    pod = cluster.running_pod(first)
    cluster.wait_for_event(pod, "verified")
    install(cluster, "upgrade", store, keep, {"settings": {"chunk_size_mib": 2}}, verb="upgrade")
    second = cluster.job("upgrade")
    assert second != first
    cluster.complete(second)
    log = cluster.log(cluster.pods(second)[-1]["metadata"]["name"], "relay")
    verified = {line["path"] for line in log if line.get("event") == "verified"}
    assert 0 < len(verified) < len(cluster.hashes())
    check_by_an_independent_job(cluster, "upgrade", store)
    cluster.helm("uninstall", "upgrade")
    kinds = "jobs,pods,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,persistentvolumeclaims"

    def left() -> list[str]:
        items = cluster.get(kinds, "-l", "app.kubernetes.io/instance=upgrade")["items"]
        return [f"{item['kind']}/{item['metadata']['name']}" for item in items]

    wait_for(lambda: left() == ["PersistentVolumeClaim/upgrade-relay-scratch"], "nothing left but the claim", 60)
