"""The hub client that the settings describe."""

from xperience.common.settings.hub import HubSettings
from xperience.hub.client import Hub
from xperience.hub.pace import Pace


def open_hub(settings: HubSettings, repo_id: str, repo_type: str, *, sharers: int = 1) -> Hub:
    """A client of one repository, one of `sharers` of the rate limit; RefusedError where the token cannot be read."""
    return Hub(
        repo_id, repo_type, endpoint=settings.hf_endpoint, token=settings.hf_token(),
        timeout_seconds=settings.hub_timeout_seconds, retries=settings.hub_retries,
        pace=Pace(max(1, settings.hub_calls_per_5_minutes // sharers)),
    )  # fmt: skip
