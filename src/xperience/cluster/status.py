"""What the jobs of a namespace do: state, progress and last error of each, as the cluster knows them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from xperience.cluster.api import TIMEOUT_SECONDS, Cluster, named_errors
from xperience.cluster.progress import KEY, JobProgress
from xperience.common.evidence import Part

# The client's models call every field optional, also those that the API always sends.
Job: TypeAlias = Any
Pod: TypeAlias = Any

# The operators' jobs: group, version, plural, and the label of their pods.
TRAINING = (
    ("kubeflow.org", "v1", "pytorchjobs", "training.kubeflow.org/job-name"),
    ("trainer.kubeflow.org", "v1alpha1", "trainjobs", "jobset.sigs.k8s.io/jobset-name"),
)
TOLD_TO_END = 143  # 128 + SIGTERM
OURS = "app.kubernetes.io/part-of=xperience"
State = Literal["suspended", "waiting", "running", "complete", "failed"]


class JobStatus(Part):
    """One job. `progress` is what it reported itself, `last_error` what its newest failed or stuck container says."""

    stage: str
    release: str
    job: str
    state: State
    age_seconds: float
    failed_pods: int
    progress: JobProgress | None
    last_error: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A Job, PyTorchJob or TrainJob: what is true of it (condition to message), and its pods' label that names it.

    `failed_pods` is what a Job counts itself: None where its failed pods are to be counted.
    """

    name: str
    labels: dict[str, str]
    created: datetime
    conditions: dict[str, str]
    pod_label: str
    failed_pods: int | None = None


def job_statuses(cluster: Cluster) -> list[JobStatus]:
    """Every job of this project in the namespace, oldest first; RefusedError or UnavailableError of the API."""
    namespace = cluster.namespace
    options: Any = {"label_selector": OURS, "_request_timeout": TIMEOUT_SECONDS}
    with named_errors(f"namespace {namespace}"):
        jobs = [_plain(job) for job in cluster.batch.list_namespaced_job(namespace, **options).items]
        pods: list[Pod] = cluster.core.list_namespaced_pod(namespace, **options).items
        maps: list[Any] = cluster.core.list_namespaced_config_map(namespace, **options).items
        for kind in TRAINING:
            jobs += _training_jobs(cluster, *kind, options)
    texts = {item.metadata.name: (item.data or {}).get(KEY, "") for item in maps}
    pods.sort(key=lambda pod: pod.metadata.creation_timestamp)
    return [
        _status(
            job,
            [pod for pod in pods if (pod.metadata.labels or {}).get(job.pod_label) == job.name],
            texts.get(f"{job.name}-progress", ""),
        )
        for job in sorted(jobs, key=lambda job: job.created)
    ]


def _plain(job: Job) -> _Found:
    conditions = {one.type: one.message or "" for one in job.status.conditions or [] if one.status == "True"}
    meta = job.metadata
    return _Found(
        meta.name, meta.labels or {}, meta.creation_timestamp, conditions, "batch.kubernetes.io/job-name",
        failed_pods=job.status.failed or 0,
    )  # fmt: skip


def _training_jobs(
    cluster: Cluster, group: str, version: str, plural: str, pod_label: str, options: Any
) -> list[_Found]:
    """Jobs of an operator; none where the cluster does not have it."""
    from kubernetes.client import ApiException

    try:
        listed: Any = cluster.custom.list_namespaced_custom_object(group, version, cluster.namespace, plural, **options)
    except ApiException as error:
        if error.status in (403, 404):  # without the operator, or a Role that was made for a cluster without it
            return []
        raise
    return [
        _Found(
            item["metadata"]["name"],
            item["metadata"].get("labels", {}),
            datetime.fromisoformat(item["metadata"]["creationTimestamp"]),
            {
                one["type"]: one.get("message", "")
                for one in item.get("status", {}).get("conditions", [])
                if one["status"] == "True"
            },
            pod_label,
        )
        for item in listed["items"]
    ]


def _status(job: _Found, pods: list[Pod], text: str) -> JobStatus:
    errors = [error for pod in pods for error in _errors(pod)]
    return JobStatus(
        stage=job.labels.get("app.kubernetes.io/name", ""),
        release=job.labels.get("app.kubernetes.io/instance", ""),
        job=job.name,
        state=_state(job, pods),
        age_seconds=round((datetime.now(UTC) - job.created).total_seconds()),
        failed_pods=sum(pod.status.phase == "Failed" for pod in pods) if job.failed_pods is None else job.failed_pods,
        progress=_progress(text),
        last_error=errors[-1] if errors else job.conditions.get("Failed", ""),
    )


def _state(job: _Found, pods: list[Pod]) -> State:
    if job.conditions.keys() & {"Complete", "SuccessCriteriaMet", "Succeeded"}:
        return "complete"
    if job.conditions.keys() & {"Failed", "FailureTarget"}:
        return "failed"
    if "Suspended" in job.conditions:
        return "suspended"
    return "running" if any(pod.status.phase == "Running" for pod in pods) or _initialising(pods) else "waiting"


def _initialising(pods: list[Pod]) -> bool:
    return any(status.state.running is not None for pod in pods for status in pod.status.init_container_statuses or [])


def _errors(pod: Pod) -> list[str]:
    """One line per container that failed or cannot start, and why the pod finds no node.

    A sidecar that is told to end (143) because the others are done has not failed.
    """
    sidecars = {one.name for one in pod.spec.init_containers or [] if one.restart_policy == "Always"}
    found = [
        f"{pod.metadata.name}: {condition.reason} {condition.message}"
        for condition in pod.status.conditions or []
        if condition.type == "PodScheduled" and condition.status == "False"
    ]
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        for state in (status.last_state, status.state):
            ended, waiting = state and state.terminated, state and state.waiting
            if ended and ended.exit_code and not (ended.exit_code == TOLD_TO_END and status.name in sidecars):
                message = (ended.message or ended.reason or "").strip().splitlines()[-1:] or [""]
                found.append(f"{status.name} exit {ended.exit_code}: {message[0]}")
            if waiting and waiting.reason not in ("PodInitializing", "ContainerCreating"):
                found.append(f"{status.name} {waiting.reason}: {waiting.message or ''}")
    return found


def _progress(text: str) -> JobProgress | None:
    try:
        return JobProgress.model_validate_json(text) if text else None
    except ValidationError:
        return None  # of another version of the program
