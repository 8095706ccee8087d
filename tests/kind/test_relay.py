"""`helm install` of the relay on real kubelets, and what may go wrong there."""

import json
import time

import pytest
from conftest import ROOT, STANDIN_IMAGE, Cluster, run, wait_for

from xperience.common.transfer import MANIFEST_NAME

CHART = ROOT / "charts" / "relay"
SMALL_PARTS = {"chunk_size_mib": 1, "chunk_threshold_mib": 1, "download_range_mib": 1}
# 12 MB/s would be over before a fault comes; the stand-in serves 1.5 MB/s.
VALUES = {
    "hub": {"endpoint": "http://hub:8080", "tokenSecret": {"name": "hub-token"}},
    "selection": {"largestFileGib": 0.01},
    "settings": SMALL_PARTS
    | {"scratch_budget_gib": 0.02, "headroom_gib": 0.01, "batch_max_episodes": 4, "progress_seconds": 1},
    "scratch": {"sizeGib": 1},
    "resources": {"relay": {"requests": {"cpu": "50m"}}, "rcloneCpu": "50m", "rcloneMemoryMib": 512},
    "job": {"terminationGracePeriodSeconds": 20},
    "progress": {"enabled": True},
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 8081}]}]},
}
POD = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}  # fmt: skip
CONTAINER = {
    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
}  # fmt: skip


def ssh(root: str, key: str = "store-key") -> dict:
    return {"store": {"ssh": {"host": "store@ssh:2222", "root": f"/data/{root}", "secret": key}}}


def s3(prefix: str) -> dict:
    store = {
        "url": f"s3://training/{prefix}", "endpoint": "http://s3:8333", "provider": "SeaweedFS",
        "writerSecret": "s3-writer", "readerSecret": "s3-reader",
    }  # fmt: skip
    return {"store": {"s3": store}}


def merged(*maps: dict) -> dict:
    found: dict = {}
    for part in maps:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = merged(found[key], value) if both else value
    return found


def install(cluster: Cluster, release: str, *values: dict, verb: str = "install") -> None:
    packed = cluster.selection.parent.parent / "selection.packed"
    cluster.helm(verb, release, CHART, "--set-file", f"selection.packed={packed}", values=merged(VALUES, *values))


def check_by_an_independent_job(cluster: Cluster, name: str, store: dict) -> None:
    """`sha256sum -c` of the source's hashes where the bytes lie, without anything of ours."""
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in cluster.hashes().items())
    volumes: list[dict] = [{"name": "sums", "configMap": {"name": f"{name}-sums"}}]
    mounts = [{"name": "sums", "mountPath": "/sums"}, {"name": "data", "mountPath": "/data"}]
    pod = dict(POD, restartPolicy="Never")
    if "ssh" in store["store"]:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": "ssh-data", "readOnly": True}})
        folder = store["store"]["ssh"]["root"]
    else:
        volumes.append({"name": "data", "emptyDir": {}})
        folder = "/data"
        bucket = store["store"]["s3"]["url"].removeprefix("s3://")
        remote = f":s3,provider=SeaweedFS,env_auth,endpoint='http://s3:8333':{bucket}"
        pod["initContainers"] = [
            {
                "name": "copy", "image": "xperience/rclone:1.76.0", "securityContext": CONTAINER, "command": ["rclone"],
                "args": ["copy", remote, "/data", "--config", "/dev/null"], "volumeMounts": mounts,
                "envFrom": [{"secretRef": {"name": "s3-reader"}}],
            }
        ]  # fmt: skip
    pod["containers"] = [
        {
            "name": "sums", "image": STANDIN_IMAGE, "securityContext": CONTAINER, "volumeMounts": mounts,
            "workingDir": folder, "command": ["sh", "-c"],
            "args": ["sha256sum --strict --quiet -c /sums/sums && find . -type f | wc -l"],
        }
    ]  # fmt: skip
    pod["volumes"] = volumes
    cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-sums"}, "data": {"sums": lines}},
        {
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"{name}-sums"},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        },
    )  # fmt: skip
    cluster.complete(f"{name}-sums", 60)
    files = int(cluster.kubectl("logs", f"job/{name}-sums", "-c", "sums"))
    parts = len([part for part in manifest_names(cluster, folder)]) if "ssh" in store["store"] else 1
    assert files == len(cluster.hashes()) + parts


def manifest_names(cluster: Cluster, folder: str) -> list[str]:
    found = cluster.kubectl("exec", "deploy/ssh", "--", "ls", folder).split()
    return [name for name in found if name.startswith("xperience-transfer-manifest")]


def manifest(cluster: Cluster, root: str) -> dict:
    return json.loads(cluster.kubectl("exec", "deploy/ssh", "--", "cat", f"/data/{root}/{MANIFEST_NAME}"))


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


def small_volume(cluster: Cluster) -> None:
    """A volume of 16 MiB, less than headroom and selection take: local-path volumes have no bound, a tmpfs has."""
    node = "xperience-test-worker"
    run(
        "docker",
        "exec",
        node,
        "sh",
        "-c",
        "mkdir -p /mnt/small && mount -t tmpfs -o size=16m,uid=65532 tmpfs /mnt/small",
    )
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    cluster.apply(
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "small"},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "small",
                "local": {"path": "/mnt/small"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            },
        }
    )  # fmt: skip


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
        small_volume(cluster)
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
