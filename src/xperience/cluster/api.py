"""Open the API of a cluster: from inside a pod, or by a kubeconfig."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xperience.common.errors import ConfigurationError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from kubernetes import client

TIMEOUT_SECONDS = 10
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The API's parts that we use, and the namespace that was meant."""

    core: "client.CoreV1Api"
    batch: "client.BatchV1Api"
    custom: "client.CustomObjectsApi"
    namespace: str


def open_cluster(namespace: str = "", context: str = "") -> Cluster:
    """In a pod by its service account, elsewhere by the kubeconfig; ConfigurationError where there is neither."""
    try:
        from kubernetes import client
        from kubernetes import config as untyped
    except ImportError as error:
        raise ConfigurationError(
            "the kubernetes package is missing", why=str(error), fix="pip install 'xperience[cluster]'."
        ) from error
    config: Any = untyped
    settings = client.Configuration()
    try:
        if POD_NAMESPACE.exists() and not context:
            config.load_incluster_config(client_configuration=settings)
            namespace = namespace or POD_NAMESPACE.read_text().strip()
        else:
            config.load_kube_config(context=context or None, client_configuration=settings)
            contexts, current = config.list_kube_config_contexts()
            chosen = next((one for one in contexts if one["name"] == context), current)
            namespace = namespace or chosen["context"].get("namespace", "default")
    except config.ConfigException as error:
        raise ConfigurationError(
            "no cluster to talk to", why=str(error), fix="Set KUBECONFIG, or give --context a name that it has."
        ) from error
    settings.retries = False
    api = client.ApiClient(settings)
    return Cluster(client.CoreV1Api(api), client.BatchV1Api(api), client.CustomObjectsApi(api), namespace)


@contextmanager
def named_errors(what: str) -> Iterator[None]:
    """The API's errors as ours: RefusedError where the user may not, else UnavailableError."""
    import urllib3
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        why = f"HTTP {error.status} {error.reason}"
        if error.status in (401, 403):
            raise RefusedError("the cluster refuses", where=what, why=why, fix="Check this user's Role.") from error
        raise UnavailableError("the cluster's API fails", where=what, why=why) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UnavailableError("the cluster's API cannot be reached", where=what, why=str(error)) from error
