"""The destination."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import Settings, setting


class StoreSettings(Settings):
    """The destination: SSH by the plan's flags, or `--store`."""

    store: str = setting(
        "", "Destination as s3://bucket/prefix or ssh://user@host[:port]/path; instead of --transfer-host and -root.",
        group="Store",
    )  # fmt: skip
    transfer_host: str = setting("", "SSH destination, user@host[:port].", env=("TRAINING_HOST",), group="Store")
    transfer_root: str = setting(
        "", "Absolute path of the data root on the SSH destination.", env=("TRAINING_DATA_ROOT",), group="Store"
    )
    ssh_key: Path = setting(
        Path("~/.ssh/xperience10m_relay_ed25519"), "Dedicated private key (`relay keygen` makes it).", group="Store"
    )
    known_hosts: Path = setting(
        Path("~/.ssh/known_hosts"), "Host keys that are trusted (`relay trust-host` adds one).", group="Store"
    )
    s3_endpoint: str = setting("", "Address of an S3 server other than AWS.", env=("AWS_ENDPOINT_URL",), group="Store")
    s3_region: str = setting("us-east-1", "Region of the bucket.", env=("AWS_REGION",), group="Store")
    s3_provider: str = setting(
        "Other", "rclone's name of the S3 provider: AWS, Minio, SeaweedFS or another.", group="Store"
    )
    store_reserve_gib: float = setting(
        0.0, "Space to leave free on the store for models and checkpoints, in GiB.", ge=0, group="Store"
    )
    transfer_mode: Literal["chunked", "whole"] = setting(
        "chunked", "chunked: several connections per large file; whole: one connection per file.", group="Store"
    )
    chunk_parallel: int = setting(24, "Connections of the whole transfer leg.", ge=1, le=64, group="Store")
    chunk_size_mib: int = setting(
        16, "Byte range that one connection writes (SSH) or part size (S3, at least 5), in MiB.", ge=1, group="Store"
    )
    chunk_threshold_mib: int = setting(
        64, "Files below this go over one connection (SSH) or in one PUT (S3), in MiB.", ge=1, group="Store"
    )
    store_retries: int = setting(5, "Repeats of one file in a row before the run ends with 69.", ge=0, group="Store")
    rclone: Path | None = setting(None, "The rclone program; else PATH, else what `make rclone` built.", group="Store")
    rclone_socket: Path | None = setting(
        None, "Unix socket of a running `rclone rcd` (the sidecar); without it one is started.", group="Store"
    )
    rclone_fs: str = setting("store:", "Remote of the sidecar's rclone.conf; with --rclone-socket only.", group="Store")
    transfer_limit_mib: float = setting(
        0.0, "Upper bound of the transfer leg in MiB/s; 0 is none.", ge=0, group="Store"
    )
