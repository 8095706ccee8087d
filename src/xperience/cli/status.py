"""`xperience status`."""

import time

from xperience.cli.console import out, print_json, print_table
from xperience.cluster.api import open_cluster
from xperience.cluster.status import JobStatus, job_statuses
from xperience.common.settings.cluster import ClusterStatusSettings
from xperience.common.sizes import human_bytes, human_seconds

WATCH_SECONDS = 2.0


def status(settings: ClusterStatusSettings) -> None:
    """Show every job of this project in a namespace: state, progress, last error."""
    cluster = open_cluster(settings.namespace, settings.context)
    while True:
        found = job_statuses(cluster)
        if settings.json_output:
            print_json([item.model_dump(mode="json") for item in found])
        else:
            if settings.watch and out.is_terminal:
                out.clear()
            print_table(
                f"namespace {cluster.namespace}",
                ("stage", "job", "state", "progress", "left", "age", "failed pods", "last error"),
                [_row(item) for item in found],
            )
        if not settings.watch or all(item.state in ("complete", "failed") for item in found):
            return
        time.sleep(WATCH_SECONDS)


def _row(item: JobStatus) -> tuple[object, ...]:
    progress = item.progress
    done = left = "-"
    if progress and progress.total:
        count = human_bytes if progress.unit == "bytes" else lambda number: f"{number} {progress.unit}"
        done = f"{progress.done / progress.total:.0%} of {count(progress.total)}"
    if progress and progress.eta_seconds is not None and item.state == "running":
        left = human_seconds(progress.eta_seconds)
    age = human_seconds(item.age_seconds)
    return item.stage, item.job, item.state, done, left, age, item.failed_pods, item.last_error or "-"
