"""Report a job's progress where people look without logs: Events of the Job, and the ConfigMap <job>-progress."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from xperience.cluster.api import TIMEOUT_SECONDS, Cluster, named_errors, open_cluster
from xperience.common.errors import StoppedError, XperienceError
from xperience.common.evidence import Part
from xperience.common.log import get_log
from xperience.common.settings.cluster import ProgressSettings

KEY = "progress"
LONGEST_MESSAGE = 1000  # an Event takes 1024

JobState = Literal["checking", "running", "complete", "failed", "stopped"]


class JobProgress(Part):
    """What a job says of itself; `done` and `total` count `unit`."""

    state: JobState
    done: int = 0
    total: int = 0
    unit: str = "bytes"
    rate_per_second: float = 0.0
    eta_seconds: float | None = None
    message: str = ""
    pod: str = ""
    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


class Reporter:
    """Reports for one Job, from a thread of its own: a slow or absent API never holds up the work.

    A report that fails is logged, once per reason, and no error.
    """

    def __init__(self, cluster: Cluster, job: str, uid: str, stage: str, *, every_seconds: float) -> None:
        self._cluster, self._job, self._uid, self._stage, self._every = cluster, job, uid, stage, every_seconds
        self._pod = os.environ.get("HOSTNAME", "")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._running: Future[None] | None = None
        self._next = 0.0
        self._last = JobProgress(state="running")
        self._complained: set[str] = set()

    def show(self, progress: JobProgress) -> None:
        """Report the newest state, if the last report is old enough and through."""
        self._last = progress
        if time.monotonic() < self._next or (self._running is not None and not self._running.done()):
            return
        self._next = time.monotonic() + self._every
        self._running = self._pool.submit(self._patch, progress)

    def tell(self, reason: str, message: str, *, state: JobState, warning: bool = False) -> None:
        """An Event of the Job, and the state in the ConfigMap, in this order after what was shown before."""
        self._last = self._last.model_copy(update={"state": state, "message": message[:LONGEST_MESSAGE]})
        self._pool.submit(self._event, reason, message[:LONGEST_MESSAGE], "Warning" if warning else "Normal")
        self._pool.submit(self._patch, self._last)

    def publish(self, key: str, text: str) -> None:
        """Another entry of the ConfigMap: a result, in a line or a small document."""
        self._pool.submit(self._put, {key: text})

    def close(self) -> None:
        """Wait for what was told: each of its calls ends after TIMEOUT_SECONDS at the latest."""
        self._pool.shutdown(wait=True)

    def _patch(self, progress: JobProgress) -> None:
        self._put({KEY: progress.model_copy(update={"pod": self._pod}).model_dump_json()})

    def _put(self, data: dict[str, str]) -> None:
        with self._logged("ConfigMap"):
            self._cluster.core.patch_namespaced_config_map(
                f"{self._job}-progress", self._cluster.namespace, {"data": data}, _request_timeout=TIMEOUT_SECONDS
            )

    def _event(self, reason: str, message: str, kind: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {
            "apiVersion": "batch/v1", "kind": "Job", "name": self._job, "namespace": self._cluster.namespace,
            "uid": self._uid,
        }  # fmt: skip
        event: Any = {
            "metadata": {"generateName": f"{self._job}."}, "involvedObject": involved, "reason": reason,
            "message": message, "type": kind, "source": {"component": f"xperience-{self._stage}"},
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        }  # fmt: skip
        with self._logged("Event"):
            self._cluster.core.create_namespaced_event(self._cluster.namespace, event, _request_timeout=TIMEOUT_SECONDS)

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        try:
            with named_errors(f"{what} of {self._job}"):
                yield
        except XperienceError as error:
            if str(error) not in self._complained:
                self._complained.add(str(error))
                get_log().warning("progress_not_reported", why=str(error))


@contextmanager
def reporting(settings: ProgressSettings, stage: str, state: JobState) -> Iterator[Reporter | None]:
    """A reporter for the Job that the settings name, None without one; tells how the block ends where it raises."""
    if not settings.progress_job:
        yield None
        return
    name = "Preflight" if state == "checking" else stage.capitalize()
    reporter = Reporter(
        open_cluster(), settings.progress_job, settings.progress_job_uid, stage,
        every_seconds=settings.progress_seconds,
    )  # fmt: skip
    try:
        reporter.tell(f"{name}Started", f"{stage} began", state=state)
        yield reporter
    except StoppedError as error:
        reporter.tell(f"{name}Stopped", str(error), state="stopped")
        raise
    except Exception as error:
        message = str(error) if isinstance(error, XperienceError) else repr(error)
        reporter.tell(f"{name}Failed", message, state="failed", warning=True)
        raise
    finally:
        reporter.close()
