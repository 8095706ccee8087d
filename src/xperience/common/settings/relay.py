"""The relay's commands."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import CommonSettings, Settings, setting
from xperience.common.settings.cluster import ProgressSettings
from xperience.common.settings.hub import HubSettings
from xperience.common.settings.store import StoreSettings


class RelaySettings(Settings):
    """The relay itself."""

    selection_json: Path = setting(
        Path("xperience10m_128_episode_selection.json"), "Selection: the plan's JSON, or one of `xperience select`.",
        group="Relay",
    )  # fmt: skip
    selection_url: str = setting(
        "", "Address to take the selection from instead, with --selection-sha256.", group="Relay"
    )
    selection_sha256: str = setting("", "sha256 of the file at --selection-url.", group="Relay")
    shard: str = setting(
        "", "INDEX/COUNT: move this share of the selection; the other shards run beside, each with its own scratch.",
        group="Relay",
    )  # fmt: skip
    require_probe: Path | None = setting(
        None, "What `prepare probe` wrote of this selection: without it, or with an unusable episode in it, nothing is"
        " moved (77).",
        group="Relay",
    )  # fmt: skip
    relay_root: Path = setting(
        Path("relay"), "Scratch: ledger, logs and files in flight.", env=("RELAY_ROOT",), group="Relay"
    )
    batch_max_gib: float = setting(40.0, "Largest batch, in GiB.", gt=0, group="Relay")
    batch_max_episodes: int = setting(16, "Most episodes of a batch.", ge=1, group="Relay")
    scratch_budget_gib: float = setting(
        0.0, "Most scratch in use, in GiB; 0 is --batch-max-gib (scratch for one batch).", ge=0, group="Relay"
    )
    headroom_gib: float = setting(2.0, "Free space to leave on the scratch volume, in GiB.", ge=0, group="Relay")
    delete_after_transfer: bool = setting(
        False, "Release each scratch copy as soon as the store's own hash of the file is right.", group="Relay"
    )
    legs: Literal["both", "download", "transfer"] = setting(
        "both", "Run both legs, or one of them: two processes may share a ledger.", group="Relay"
    )
    lock_wait_seconds: float = setting(
        90.0, "How long to wait for a leg that another process holds.", ge=0, group="Relay"
    )
    metrics_port: int | None = setting(None, "Serve Prometheus metrics on this port; 0 picks one.", group="Relay")
    deadline_seconds: float = setting(
        0.0, "Time after which something else ends this process, for the metric of the deadline alone; 0 is never.",
        ge=0, group="Relay",
    )  # fmt: skip


class RelayRunSettings(RelaySettings, StoreSettings, HubSettings, ProgressSettings, CommonSettings):
    """`xperience relay run` and the commands that look at what it does."""

    dry_run: bool = setting(False, "Plan, print, change nothing.", group="Relay")
    offline: bool = setting(False, "With --dry-run: no network; sizes are the selection's own.", group="Relay")
    assume_download_mb_per_second: float = setting(60.0, "Rate that a dry run reckons with.", gt=0, group="Relay")
    assume_transfer_mb_per_second: float = setting(43.0, "Rate that a dry run reckons with.", gt=0, group="Relay")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json", group="Relay")


class RelayPullSettings(StoreSettings, ProgressSettings, CommonSettings):
    """`xperience relay pull`."""

    data_root: Path = setting(
        Path("xperience10m_128"), "Folder to bring the store's files into.", env=("TRAINING_DATA_ROOT",)
    )
    shard: str = setting("", "INDEX/COUNT, or the index of --shards: bring this share.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    wait_for_shards_seconds: float = setting(3600.0, "How long to wait for the files of the other shards.", ge=0)
    metrics_port: int | None = setting(None, "Serve Prometheus metrics on this port; 0 picks one.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class RelayStatusSettings(Settings):
    """The commands that read a run's scratch alone."""

    relay_root: Path = setting(Path("relay"), "Scratch of the run.", env=("RELAY_ROOT",))
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class SshAccessSettings(Settings):
    """The relay's own key and the store's host key."""

    transfer_host: str = setting("", "The store, user@host[:port].", env=("TRAINING_HOST",))
    ssh_key: Path = setting(Path("~/.ssh/xperience10m_relay_ed25519"), "The relay's private key.")
    known_hosts: Path = setting(Path("~/.ssh/known_hosts"), "Host keys that are trusted.")
    fingerprint: str = setting("", "SHA256:… that the host key must have to be pinned.")
