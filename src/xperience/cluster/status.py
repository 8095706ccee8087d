"""What the jobs of a namespace do: state, progress and last error of each, as the cluster knows them."""

from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from xperience.cluster.api import TIMEOUT_SECONDS, Cluster, named_errors
from xperience.cluster.progress import KEY, JobProgress

# The client's models call every field optional, also those that the API always sends.
Job: TypeAlias = Any
Pod: TypeAlias = Any

OURS = "app.kubernetes.io/part-of=xperience"
State = Literal["suspended", "waiting", "running", "complete", "failed"]


class JobStatus(BaseModel):
    """One job. `progress` is what it reported itself, `last_error` what its newest failed or stuck container says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    release: str
    job: str
    state: State
    age_seconds: float
    failed_pods: int
    progress: JobProgress | None
    last_error: str


def job_statuses(cluster: Cluster) -> list[JobStatus]:
    """Every job of this project in the namespace, oldest first; RefusedError or UnavailableError of the API."""
    namespace = cluster.namespace
    options: Any = {"label_selector": OURS, "_request_timeout": TIMEOUT_SECONDS}
    with named_errors(f"namespace {namespace}"):
        jobs: list[Job] = cluster.batch.list_namespaced_job(namespace, **options).items
        pods: list[Pod] = cluster.core.list_namespaced_pod(namespace, **options).items
        maps: list[Any] = cluster.core.list_namespaced_config_map(namespace, **options).items
    texts = {item.metadata.name: (item.data or {}).get(KEY, "") for item in maps}
    pods_of: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
        pods_of.setdefault((pod.metadata.labels or {}).get("batch.kubernetes.io/job-name", ""), []).append(pod)
    return [
        _status(job, pods_of.get(job.metadata.name, []), texts.get(f"{job.metadata.name}-progress", ""))
        for job in sorted(jobs, key=lambda job: job.metadata.creation_timestamp)
    ]


def _status(job: Job, pods: list[Pod], text: str) -> JobStatus:
    labels = job.metadata.labels or {}
    errors = [error for pod in pods for error in _errors(pod)]
    failure = next((c.message for c in job.status.conditions or [] if c.type == "Failed" and c.status == "True"), "")
    return JobStatus(
        stage=labels.get("app.kubernetes.io/name", ""),
        release=labels.get("app.kubernetes.io/instance", ""),
        job=job.metadata.name,
        state=_state(job, pods),
        age_seconds=round((datetime.now(UTC) - job.metadata.creation_timestamp).total_seconds()),
        failed_pods=job.status.failed or 0,
        progress=_progress(text),
        last_error=errors[-1] if errors else failure,
    )


def _state(job: Job, pods: list[Pod]) -> State:
    conditions = {condition.type for condition in job.status.conditions or [] if condition.status == "True"}
    if conditions & {"Complete", "SuccessCriteriaMet"}:
        return "complete"
    if conditions & {"Failed", "FailureTarget"}:
        return "failed"
    if "Suspended" in conditions:
        return "suspended"
    return "running" if any(pod.status.phase == "Running" for pod in pods) or _initialising(pods) else "waiting"


def _initialising(pods: list[Pod]) -> bool:
    return any(status.state.running is not None for pod in pods for status in pod.status.init_container_statuses or [])


def _errors(pod: Pod) -> list[str]:
    """One line per container that failed or cannot start, and why the pod finds no node."""
    found = [
        f"{pod.metadata.name}: {condition.reason} {condition.message}"
        for condition in pod.status.conditions or []
        if condition.type == "PodScheduled" and condition.status == "False"
    ]
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        for state in (status.last_state, status.state):
            ended, waiting = state and state.terminated, state and state.waiting
            if ended and ended.exit_code:
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
