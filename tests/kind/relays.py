"""Relays by `helm install`, a check by others of what they brought, and volumes that can be full."""

import json

import tutorial
from ground import ROOT, STANDIN_IMAGE, WORKER, Cluster, run

from xperience.common.transfer import MANIFEST_NAME

CHART = ROOT / "charts" / "relay"
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


# Where to is each test's own. 12 MB/s would be over before a fault comes; the stand-in serves 1.5 MB/s.
VALUES = merged(tutorial.values("relay", "store"), {"job": {"terminationGracePeriodSeconds": 20}})


def install(cluster: Cluster, release: str, *values: dict, verb: str = "install") -> None:
    cluster.helm(
        verb, release, CHART, "--set-file", f"selection.packed={cluster.packed}", values=merged(VALUES, *values)
    )


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


def tmpfs_volume(cluster: Cluster, name: str, mib: int) -> None:
    """A volume of the worker, of a storage class of its own name: local-path volumes have no bound, a tmpfs has."""
    place = f"/mnt/{name}"
    run(
        "docker",
        "exec",
        WORKER,
        "sh",
        "-c",
        f"mkdir -p {place} && mount -t tmpfs -o size={mib}m,uid=65532 tmpfs {place}",
    )
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [WORKER]}
    cluster.apply(
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": name,
                "local": {"path": place},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            },
        }
    )  # fmt: skip
