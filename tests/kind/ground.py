"""What the kind tests and the tutorial stand on: a cluster of two nodes, the project's images, a stand-in hub, stores.

python tests/kind/ground.py     # make it and leave it running (`make cluster`); as root
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from xperience.selection.plan_file import pack
from xperience.standin.episodes import write_repository
from xperience.standin.hub import StandinHub
from xperience.standin.servers import S3Server

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NAMESPACE = "xperience"
CONTROL_PLANE, WORKER = "xperience-test-control-plane", "xperience-test-worker"
REPOSITORY = "org/episodes"
EPISODES = 12
TOKEN = "hf_kind_secret_0123456789"
RELEASE_IMAGES = ("xperience/relay:0.1.0", "xperience/rclone:1.76.0", "xperience/prepare:0.1.0")
STANDIN_IMAGE = "xperience/standin:test"
WORK = ROOT / "build" / "kind" / "work"  # the stand-in hub's files, the selection, the keys
SHARED = ROOT / "build" / "kind" / "shared"  # /srv/shared of both nodes
TORCH = ROOT / "build" / "kind" / "torch"  # /srv/torch, where .venv has it
CANNOT = 69


def run(
    *command: object, input: str | None = None, expect: int | None = 0, timeout: float = 300, **environment: str
) -> str:
    """Run; stdout. Anything but the expected exit code fails with what was printed."""
    done = subprocess.run(
        [str(part) for part in command], input=input, text=True, capture_output=True, timeout=timeout, check=False,
        env=os.environ | environment, cwd=ROOT,
    )  # fmt: skip
    assert expect is None or done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wait_for(look: Callable[[], object], what: str, seconds: float, every: float = 0.5) -> object:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(every)
    return found


@dataclass(frozen=True)
class Cluster:
    """kubectl, helm and the relay's own command on the tests' cluster and namespace."""

    folder: Path
    source: Path
    selection: Path
    packed: Path

    @property
    def kubeconfig(self) -> str:
        return str(self.folder / "kubeconfig")

    def kubectl(
        self, *arguments: object, input: str | None = None, expect: int | None = 0, timeout: float = 300
    ) -> str:
        return run(
            self.folder / "kubectl", "-n", NAMESPACE, *arguments, input=input, expect=expect, timeout=timeout,
            KUBECONFIG=self.kubeconfig,
        )  # fmt: skip

    def get(self, *arguments: str) -> dict:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict) -> None:
        self.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(objects))

    def helm(self, *arguments: object, values: dict | None = None, expect: int | None = 0, timeout: float = 300) -> str:
        more = ["--values", "-"] if values is not None else []
        return run(
            self.folder / "helm", "-n", NAMESPACE, *arguments, *more, expect=expect, timeout=timeout,
            input=yaml.safe_dump(values) if values is not None else None, KUBECONFIG=self.kubeconfig,
        )  # fmt: skip

    def status(self) -> dict[str, dict]:
        """`xperience status --json`, by job."""
        found = run(
            sys.executable, "-m", "xperience", "status", "--namespace", NAMESPACE, "--json", KUBECONFIG=self.kubeconfig
        )
        return {item["job"]: item for item in json.loads(found)}

    def jobs(self, release: str) -> list[str]:
        items = self.get("jobs", "-l", f"app.kubernetes.io/instance={release}")["items"]
        return sorted(item["metadata"]["name"] for item in items)

    def job(self, release: str) -> str:
        (name,) = self.jobs(release)
        return name

    def condition(self, job: str) -> str:
        """Complete, Failed, or nothing yet."""
        conditions = self.get("job", job)["status"].get("conditions", [])
        found = {item["type"] for item in conditions if item["status"] == "True"}
        return next(iter(found & {"Complete", "Failed"}), "")

    def pods(self, job: str) -> list[dict]:
        return self.get("pods", "-l", f"batch.kubernetes.io/job-name={job}")["items"]

    def running_pod(self, job: str, seconds: float = 60) -> str:
        """The pod whose relay container runs."""

        def look() -> str:
            for pod in self.pods(job):
                for status in pod["status"].get("containerStatuses", []):
                    if (
                        status["name"] == "relay"
                        and "running" in status["state"]
                        and "deletionTimestamp" not in pod["metadata"]
                    ):
                        return pod["metadata"]["name"]
            return ""

        return str(wait_for(look, f"a running pod of {job}", seconds))

    def log(self, pod: str, container: str) -> list[dict]:
        """The JSON lines of a container."""
        text = self.kubectl("logs", pod, "-c", container, expect=None)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait_for_event(self, pod: str, event: str, seconds: float = 60) -> None:
        wait_for(
            lambda: any(line.get("event") == event for line in self.log(pod, "relay")), f"{event} of {pod}", seconds
        )

    def complete(self, job: str, seconds: float = 180) -> None:
        """Wait for the Job's end; it has to be Complete."""
        self.ended(job, "Complete", seconds)

    def ended(self, job: str, how: str, seconds: float = 180) -> None:
        """Wait for the Job's end; it has to be this one."""
        try:
            ended = wait_for(lambda: self.condition(job), f"end of {job}", seconds)
        except AssertionError:
            ended = "no end"
        if ended != how:
            pods = [pod["metadata"]["name"] for pod in self.pods(job)]
            logs = [self.kubectl("logs", pod, "--all-containers", "--tail=40", expect=None) for pod in pods]
            raise AssertionError(f"{job}: {ended}\n{self.kubectl('describe', 'job', job)}\n" + "\n".join(logs))

    def ready(self, node: str) -> bool:
        conditions = self.get("node", node)["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    @contextmanager
    def without(self, node: str) -> Iterator[None]:
        """The node's power fails; inside, the cluster has missed it; afterwards it is there again."""
        run("docker", "kill", node)
        try:
            wait_for(lambda: not self.ready(node), f"{node} to be missed", 120, every=2)
            yield
        finally:
            run("docker", "start", node)
        wait_for(lambda: self.ready(node), f"{node} to be back", 120, every=2)

    def events(self, job: str) -> dict[str, str]:
        """Reason to message of the Job's own Events."""
        items = self.get("events", "--field-selector", f"involvedObject.kind=Job,involvedObject.name={job}")["items"]
        return {item["reason"]: item["message"] for item in items}

    def hashes(self) -> dict[str, str]:
        """Path to sha256 of the selected files, read from the source."""
        selected = json.loads(self.selection.read_text())["download_files"]
        return {path: hashlib.sha256((self.source / path).read_bytes()).hexdigest() for path in selected}


def up() -> "subprocess.CompletedProcess[str]":
    """Two nodes with nothing on them; its stdout is the folder of kubectl, its code CANNOT where none can be had."""
    return subprocess.run([HERE / "cluster", "up"], capture_output=True, text=True, check=False, cwd=ROOT)


def prepare_ground(folder: Path) -> Cluster:
    """Images and the other ends on a cluster that is up; twelve invented episodes in the hub, all of them selected."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    source, packed = WORK / "hub", WORK / "selection.packed"
    write_repository(source, episodes=EPISODES, frames=120, depth_pixels=24)
    selection = _select(source)
    packed.write_bytes(pack(selection.read_bytes()))
    cluster = Cluster(folder, source, selection, packed)
    _images(source)
    _standins(cluster)
    cluster.kubectl("config", "set-context", "--current", "--namespace", NAMESPACE)
    return cluster


def prepare_training_ground(cluster: Cluster) -> None:
    """The training operator, the image, a tiny random model, and two claims that both nodes have: `shared`, `torch`."""
    from xperience.qwen3_omni.tiny import write_tiny_base

    run(HERE / "cluster", "operators", timeout=900)
    run(ROOT / "scripts" / "images", "xperience", "train", timeout=900, TRAIN_BASE_IMAGE="python:3.11-slim-bookworm")
    run(HERE / "cluster", "load", "xperience/train:0.1.0", timeout=600)
    for place in SHARED.iterdir():  # the folder itself is what the nodes have mounted
        shutil.rmtree(place)
    write_tiny_base(SHARED / "models" / "tiny")
    # A cluster that was kept has volumes that are bound to claims of the run before.
    cluster.kubectl("delete", "pv", f"{NAMESPACE}-shared", f"{NAMESPACE}-torch", "--ignore-not-found")
    cluster.apply(*_claim("shared", "ReadWriteMany"), *_claim("torch", "ReadOnlyMany"))


def _select(source: Path) -> Path:
    with StandinHub(source, REPOSITORY, token=TOKEN) as hub:
        run(
            sys.executable, "-m", "xperience", "select", "from-hub", "--repo-id", REPOSITORY,
            "--target-episodes", EPISODES, "--least-annotation-mib", 0, "--drop-percentile", 0,
            "--train-fraction", 0.5, "--val-fraction", 0.25, "--test-fraction", 0.25, "--output", WORK / "selection",
            HF_ENDPOINT=hub.endpoint, HF_TOKEN=TOKEN,
        )  # fmt: skip
    (found,) = (WORK / "selection").glob("*_selection.json")
    return found


def _images(source: Path) -> None:
    run(ROOT / "scripts" / "images", timeout=900)
    context = WORK / "image"
    shutil.copytree(source, context / "hub")
    shutil.copy(Path(sys.executable).parent / "weed", context / "weed")
    relay = RELEASE_IMAGES[0]
    dockerfile = HERE / "image" / "Dockerfile"
    run("docker", "build", "-q", "--build-arg", f"RELAY={relay}", "-t", STANDIN_IMAGE, "-f", dockerfile, context)
    run(HERE / "cluster", "load", *RELEASE_IMAGES, STANDIN_IMAGE, timeout=600)


def secret(name: str, **values: str | bytes) -> dict:
    data = {
        key.replace("__", "."): base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for key, value in values.items()
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def _standins(cluster: Cluster) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    for name in ("host", "relay", "stranger"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", WORK / name)
    host_key, stranger = ((WORK / f"{name}.pub").read_text().split()[1] for name in ("host", "stranger"))
    config = (
        "Port 2222\nHostKey /etc/sshd/host\nAuthorizedKeysFile /etc/sshd/authorized\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n"
        "LogLevel VERBOSE\n"
    )
    key = (WORK / "relay").read_bytes()
    identities = [
        (S3Server.access_key, S3Server.secret_key, ["Admin", "Read", "Write", "List", "Tagging"]),
        (S3Server.reader_key, S3Server.reader_secret, ["Read", "List"]),
    ]
    s3 = {
        "identities": [
            {"name": access, "credentials": [{"accessKey": access, "secretKey": hidden}], "actions": actions}
            for access, hidden, actions in identities
        ]
    }
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    cluster.apply(
        namespace,
        secret("hub-token", token=TOKEN),
        secret("wrong-token", token="hf_wrong"),
        secret(
            "sshd", sshd_config=config, host=(WORK / "host").read_bytes(), authorized=(WORK / "relay.pub").read_bytes()
        ),
        secret("store-key", id_ed25519=key, known_hosts=f"[ssh]:2222 ssh-ed25519 {host_key}\n"),
        secret("stranger-key", id_ed25519=key, known_hosts=f"[ssh]:2222 ssh-ed25519 {stranger}\n"),
        secret("s3-config", s3__json=json.dumps(s3)),
        secret("s3-writer", AWS_ACCESS_KEY_ID=S3Server.access_key, AWS_SECRET_ACCESS_KEY=S3Server.secret_key),
        secret("s3-reader", AWS_ACCESS_KEY_ID=S3Server.reader_key, AWS_SECRET_ACCESS_KEY=S3Server.reader_secret),
    )
    cluster.kubectl("apply", "-f", HERE / "standins.yaml")
    for name in ("hub", "ssh", "s3"):
        cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")
    commands = "s3.bucket.create -name training\ns3.bucket.list\n"
    shell = ("exec", "-i", "deploy/s3", "--", "weed", "shell", "-master=127.0.0.1:9333")
    wait_for(lambda: "  training" in cluster.kubectl(*shell, input=commands, expect=None), "the bucket", 60)


def _claim(name: str, mode: str) -> list[dict]:
    """A claim on a folder that both nodes share."""
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{NAMESPACE}-{name}"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": [mode], "storageClassName": "shared",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": f"/srv/{name}", "type": "Directory"},
            "claimRef": {"namespace": NAMESPACE, "name": name},
        },
    }  # fmt: skip
    wanted = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {
            "accessModes": [mode], "storageClassName": "shared", "volumeName": f"{NAMESPACE}-{name}",
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }  # fmt: skip
    return [volume, wanted]


def main() -> int:
    """Make all of it, and say how to reach it."""
    started = time.monotonic()
    done = up()
    if done.returncode:
        print(done.stderr.strip()[-3000:], file=sys.stderr)
        return done.returncode
    print(f"cluster of two nodes after {time.monotonic() - started:.0f} s", flush=True)
    cluster = prepare_ground(Path(done.stdout.strip()))
    print(f"images, stand-in hub, sshd and S3 after {time.monotonic() - started:.0f} s", flush=True)
    prepare_training_ground(cluster)
    print(f"training operator, image and a tiny model after {time.monotonic() - started:.0f} s")
    print(f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.folder}:{Path(sys.executable).parent}:$PATH")
    return 0


if __name__ == "__main__":
    sys.exit(main())
