"""What talks to a Kubernetes API."""

from xperience.common.settings import Settings, setting


class ProgressSettings(Settings):
    """Where a pod reports its progress besides its log; nothing is reported without a job's name."""

    progress_job: str = setting(
        "", "Kubernetes Job to report for, to Events and ConfigMap <job>-progress.", group="Cluster"
    )
    progress_job_uid: str = setting("", "UID of that Job.", group="Cluster")
    progress_seconds: float = setting(15.0, "Time between two reports.", gt=0, group="Cluster")


class ClusterStatusSettings(Settings):
    """`xperience status`."""

    namespace: str = setting("", "Namespace; without one, that of the context.")
    context: str = setting("", "Context of the kubeconfig; without one, the current.")
    watch: bool = setting(False, "Print again every two seconds, until no job runs.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")
