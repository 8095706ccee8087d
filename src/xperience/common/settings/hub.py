"""The source."""

import os
from pathlib import Path

from pydantic import SecretStr

from xperience.common.errors import RefusedError
from xperience.common.settings import Settings, setting


class HubSettings(Settings):
    """The source."""

    hf_endpoint: str = setting("https://huggingface.co", "Address of the hub.", env=("HF_ENDPOINT",), group="Hub")
    hf_token_path: Path | None = setting(
        None, "File that holds the hub token; without it HF_TOKEN is read.", env=("HF_TOKEN_PATH",), group="Hub"
    )
    hub_timeout_seconds: float = setting(30.0, "Longest silence of the hub on one request.", gt=0, group="Hub")
    hub_retries: int = setting(
        8, "Repeats of one range or call in a row without progress before the run ends with 69.", ge=0, group="Hub"
    )
    hub_calls_per_5_minutes: int = setting(
        5000,
        "Calls that the hub's rate limit grants in five minutes; shards take equal shares of it.",
        ge=1,
        group="Hub",
    )
    download_streams: int = setting(16, "HTTP streams of the whole download leg.", ge=1, le=128, group="Hub")
    download_range_mib: int = setting(
        16, "Bytes of one ranged request, in MiB: what a kill -9 costs per stream.", ge=1, group="Hub"
    )

    def hf_token(self) -> SecretStr | None:
        """The token from the file, else from HF_TOKEN, None where it is empty; RefusedError where the file is none."""
        token = os.environ.get("HF_TOKEN", "")
        if self.hf_token_path is not None:
            try:
                token = self.hf_token_path.read_text()
            except OSError as error:
                raise RefusedError(
                    "hub token cannot be read", where=str(self.hf_token_path), why=error.strerror or str(error),
                    fix="Mount the secret there, or unset HF_TOKEN_PATH and set HF_TOKEN.",
                ) from error  # fmt: skip
        token = token.strip()
        return SecretStr(token) if token else None
