"""The hub client that the settings describe."""

from xperience.common.settings import HubSettings
from xperience.hub.client import Hub


def open_hub(settings: HubSettings, repo_id: str, repo_type: str) -> Hub:
    """A client of one repository; RefusedError where the token's file cannot be read."""
    return Hub(
        repo_id, repo_type, endpoint=settings.hf_endpoint, token=settings.hf_token(),
        timeout_seconds=settings.hub_timeout_seconds, retries=settings.hub_retries,
    )  # fmt: skip
