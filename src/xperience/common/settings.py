"""Every setting, once: name, type, default and meaning; flags, variables, Helm values and docs come from here.

A field `batch_max_gib` is the flag `--batch-max-gib` and the variable `XPERIENCE_BATCH_MAX_GIB`; a flag wins over a
variable. Other variables that a field reads stand in its `env`. A secret is never a flag: it is read from a file or a
variable.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from xperience.common.errors import RefusedError


def setting(
    default: Any, meaning: str, *, env: tuple[str, ...] = (), group: str = "", flag: str = "", **limits: Any
) -> Any:
    """A pydantic field with its meaning, the further variables that it is read from, and its help panel.

    `flag` stands in for the one that the field's name gives.
    """
    extra: dict[str, Any] = {"env": list(env), "group": group, "flag": flag}
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


class Settings(BaseModel):
    """Base: frozen, unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CommonSettings(Settings):
    """What every long command takes."""

    log_format: Literal["json", "text"] = setting("text", "Log lines on stderr as json or text.")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level that is logged.")


class HubSettings(Settings):
    """The source."""

    hf_endpoint: str = setting("https://huggingface.co", "Address of the hub.", env=("HF_ENDPOINT",), group="Hub")
    hf_token_path: Path | None = setting(
        None, "File that holds the hub token; without it HF_TOKEN is read.", env=("HF_TOKEN_PATH",), group="Hub"
    )
    hub_timeout_seconds: float = setting(30.0, "Longest silence of the hub on one request.", gt=0, group="Hub")
    hub_retries: int = setting(
        8, "Tries of one range or call in a row without progress before the run ends with 69.", ge=0, group="Hub"
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
        """The token from the file, else from HF_TOKEN; RefusedError where the named file cannot be read."""
        if self.hf_token_path is not None:
            try:
                return SecretStr(self.hf_token_path.read_text().strip())
            except OSError as error:
                raise RefusedError(
                    "hub token cannot be read", where=str(self.hf_token_path), why=error.strerror or str(error),
                    fix="Mount the secret there, or unset HF_TOKEN_PATH and set HF_TOKEN.",
                ) from error  # fmt: skip
        token = os.environ.get("HF_TOKEN", "").strip()
        return SecretStr(token) if token else None


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
    chunk_parallel: int = setting(8, "Connections of the whole transfer leg.", ge=1, le=64, group="Store")
    chunk_size_mib: int = setting(
        64, "Byte range that one connection writes (SSH) or part size (S3, at least 5), in MiB.", ge=1, group="Store"
    )
    chunk_threshold_mib: int = setting(
        64, "Files below this go over one connection (SSH) or in one PUT (S3), in MiB.", ge=1, group="Store"
    )
    store_retries: int = setting(5, "Tries of one file in a row before the run ends with 69.", ge=0, group="Store")
    rclone: Path | None = setting(None, "The rclone program; else PATH, else what `make rclone` built.", group="Store")
    rclone_socket: Path | None = setting(
        None, "Unix socket of a running `rclone rcd` (the sidecar); without it one is started.", group="Store"
    )
    rclone_fs: str = setting("store:", "Remote of the sidecar's rclone.conf; with --rclone-socket only.", group="Store")
    transfer_limit_mib: float = setting(
        0.0, "Upper bound of the transfer leg in MiB/s; 0 is none.", ge=0, group="Store"
    )


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


class ProgressSettings(Settings):
    """Where a pod reports its progress besides its log; nothing is reported without a job's name."""

    progress_job: str = setting(
        "", "Kubernetes Job to report for, to Events and ConfigMap <job>-progress.", group="Cluster"
    )
    progress_job_uid: str = setting("", "UID of that Job.", group="Cluster")
    progress_seconds: float = setting(15.0, "Time between two reports.", gt=0, group="Cluster")


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


class ClusterStatusSettings(Settings):
    """`xperience status`."""

    namespace: str = setting("", "Namespace; without one, that of the context.")
    context: str = setting("", "Context of the kubeconfig; without one, the current.")
    watch: bool = setting(False, "Print again every two seconds, until no job runs.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class SshAccessSettings(Settings):
    """The relay's own key and the store's host key."""

    transfer_host: str = setting("", "The store, user@host[:port].", env=("TRAINING_HOST",))
    ssh_key: Path = setting(Path("~/.ssh/xperience10m_relay_ed25519"), "The relay's private key.")
    known_hosts: Path = setting(Path("~/.ssh/known_hosts"), "Host keys that are trusted.")
    fingerprint: str = setting("", "SHA256:… that the host key must have to be pinned.")


class SelectionFileSettings(Settings):
    """Read one selection."""

    selection_json: Path = setting(
        Path("xperience10m_128_episode_selection.json"), "Selection: the plan's JSON, or one of `xperience select`."
    )
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class SelectionPackSettings(SelectionFileSettings):
    """Pack a selection for a ConfigMap."""

    output: Path = setting(Path("selection.packed"), "Where the packed selection goes.")


class SelectionPinSettings(HubSettings, SelectionFileSettings):
    """Pin a selection at the hub."""

    output: Path = setting(Path("selection_pinned.json"), "Where the pinned selection goes.")


class SelectFromHubSettings(HubSettings):
    """Select episodes from a listing of the hub."""

    repo_id: str = setting("ropedia-ai/xperience-10m", "Repository on the hub.")
    revision: str = setting("main", "Commit, branch or tag; the commit that it names is pinned.")
    target_episodes: int = setting(128, "Episodes to select.", ge=1)
    seed: int = setting(7, "Seed of tie-breaks and splits.")
    train_fraction: float = setting(0.75, "Share of train.", ge=0, le=1)
    val_fraction: float = setting(0.125, "Share of val.", ge=0, le=1)
    test_fraction: float = setting(0.125, "Share of test.", ge=0, le=1)
    drop_percentile: float = setting(0.05, "Episodes below this quantile of size are left out.", ge=0, lt=1)
    least_annotation_mib: float = setting(512.0, "Annotations below this are left out in any case, in MiB.", ge=0)
    output: Path = setting(Path("selection"), "Folder for the JSON, CSV, TXT and the pinned JSON.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class SelectFromRepoSettings(HubSettings):
    """Select files of any repository of the hub."""

    repo_id: str = setting("", "Repository on the hub.")
    repo_type: Literal["dataset", "model"] = setting("dataset", "Its type.")
    revision: str = setting("main", "Commit, branch or tag; the commit that it names is pinned.")
    include: list[str] = setting([], "Pattern of files to take, repeatable; without any, all.")
    exclude: list[str] = setting([], "Pattern of files to leave, repeatable; *.rrd is always left.")
    output: Path = setting(Path("selection.json"), "Where the selection goes.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class DemoSettings(Settings):
    """`xperience demo`."""

    keep: Path | None = setting(None, "Folder in which everything of the demo stays; else a temporary one.")


class WorkerSettings(Settings):
    """The processes that open files of episodes."""

    worker_memory_mib: int = setting(
        640, "Memory that opening one file may take, in MiB, beside some 100 of the libraries.", ge=64, group="Workers"
    )
    worker_timeout_seconds: float = setting(
        120.0, "Longest time that opening one file may take, waiting for the hub left out.", gt=0, group="Workers"
    )


class UsableSettings(Settings):
    """When an episode is usable."""

    purposes: str = setting("windows,actions", "What an episode has to be fit for: windows, actions, or both.")
    least_valid_share: float = setting(
        0.5, "Share of the frames with a pose of the head and a visible hand that `actions` needs.", ge=0, le=1
    )


class PrepareProbeSettings(HubSettings, WorkerSettings, UsableSettings, CommonSettings):
    """`xperience prepare probe`."""

    selection_json: Path = setting(
        Path("xperience10m_128_episode_selection.json"), "Selection: the plan's JSON, or one of `xperience select`."
    )
    output: Path = setting(Path("probe.json"), "Where the report goes.")
    json_output: bool = setting(False, "Print the report as JSON on stdout.", flag="--json")


class PrepareCheckSettings(WorkerSettings, UsableSettings, CommonSettings):
    """`xperience prepare check`."""

    data_root: Path = setting(
        Path("data/xperience10m_128"), "Where the relay put the episodes.", env=("TRAINING_DATA_ROOT",)
    )
    transfer_manifest: Path | None = setting(None, "The relay's manifest; without it, the one in the data root.")
    jobs: int = setting(2, "Files that are hashed at the same time; as many are looked into.", ge=1, le=128)
    shard: str = setting("", "Check every N-th episode: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    merge: bool = setting(False, "Check nothing: make one report of those of all --shards.")
    output: Path = setting(Path("check.json"), "Where the report goes; a shard's gets -i-of-N.")
    json_output: bool = setting(False, "Print the report as JSON on stdout.", flag="--json")


class PlanFolderSettings(Settings):
    """Where the plan's commands read and write."""

    workspace: Path = setting(Path(), "Folder that relative paths start from.")
    data_root: Path = setting(Path("xperience10m_128"), "Folder of the staged episodes.", env=("TRAINING_DATA_ROOT",))

    def place(self, path: Path) -> Path:
        """A path of the command line, from the workspace."""
        return self.workspace.expanduser() / path.expanduser()


class PrepareManifestSettings(PlanFolderSettings):
    """The episode manifest."""

    selection_json: Path | None = setting(
        None, "Selection whose split is inherited; without it that of the data root's transfer manifest is."
    )
    probe_json: Path | None = setting(None, "What `prepare probe` wrote; found beside --output by its schema.")
    check_json: Path | None = setting(None, "What `prepare check` wrote; found beside --output by its schema.")
    purposes: str = setting("windows,actions", "What a usable episode has to be fit for: windows, actions, or both.")
    max_episodes: int = setting(128, "Refuse data of more episodes than these; 0 takes any number.", ge=0)
    train_fraction: float | None = setting(
        None, "Share of train, checked against the split that stands; a fresh one takes 0.75.", ge=0, le=1
    )
    val_fraction: float | None = setting(None, "Share of val; a fresh split takes 0.125.", ge=0, le=1)
    test_fraction: float | None = setting(None, "Share of test; a fresh split takes 0.125.", ge=0, le=1)
    split_seed: int = setting(7, "Seed of a fresh split; not used where a split stands.")
    redraw_split: bool = setting(False, "Draw a fresh split: for data without a selection.")
    output: Path = setting(Path("results/omni_finetune/episode_manifest_128.json"), "Where the manifest goes.")
    json_output: bool = setting(False, "Print the summary as JSON on stdout.", flag="--json")


class PrepareDiscoverSettings(PlanFolderSettings, HubSettings):
    """Discovery of sources."""

    selection_json: Path | None = setting(None, "Selection to compare the data root with.")
    repo_id: str = setting("ropedia-ai/xperience-10m", "Repository to list, where no selection names it.")
    revision: str = setting("main", "Its commit, branch or tag, where no selection names it.")
    modelscope_endpoint: str = setting("https://www.modelscope.cn", "Address of ModelScope.")
    target_episodes: int = setting(128, "Whole episodes that a source has to have.", ge=1)
    skip_modelscope: bool = setting(False, "Do not ask ModelScope.")
    skip_huggingface: bool = setting(False, "Do not ask the hub.")
    output: Path = setting(Path("results/omni_finetune/source_discovery_128.json"), "Where the JSON goes.")
    report_output: Path = setting(
        Path("results/omni_finetune/DATA_BLOCKER_REPORT_128.md"), "Where the Markdown report goes."
    )
    json_output: bool = setting(False, "Print the result as JSON on stdout, without the episodes.", flag="--json")


class EvidenceSettings(Settings):
    """Where the artefacts of all stages lie."""

    evidence: Path = setting(
        Path("results/omni_finetune"),
        "Folder of artefacts, found there by their schema; a flag names a single one.",
    )
    data_root: Path | None = setting(
        None, "Staged episodes, to look at them again; without it the artefacts alone are judged.",
        env=("TRAINING_DATA_ROOT",),
    )  # fmt: skip
    selection_json: Path | None = setting(None, "The selection; without it what needs one is not_run.")
    probe_json: Path | None = setting(None, "What `prepare probe` wrote.")
    check_json: Path | None = setting(None, "What `prepare check` wrote.")
    manifest_json: Path | None = setting(None, "What `prepare manifest` wrote.")
    audit_json: Path | None = setting(None, "What `prepare audit` wrote.")
    review_json: Path | None = setting(None, "What `prepare review` wrote.")
    relay_json: Path | None = setting(None, "The relay's summary, relay_summary.json of its scratch.")
    evaluation_json: Path | None = setting(None, "The held-out evaluation.")
    compatibility_json: Path | None = setting(None, "The compatibility record of Cosmos3-Nano.")
    post_training_json: Path | None = setting(None, "The post-training run of Cosmos3-Nano.")

    def given(self) -> dict[str, Path]:
        """Artefacts that a flag names."""
        named = {name.removesuffix("_json"): getattr(self, name) for name in EvidenceSettings.model_fields
                 if name.endswith("_json") and name != "selection_json"}  # fmt: skip
        return {name: path.expanduser() for name, path in named.items() if path is not None}


class GatesSettings(EvidenceSettings):
    """The acceptance gates."""

    step: Literal["prepare", "train", "cosmos-compatibility", "cosmos-post-training", "release"] = setting(
        "prepare", "The step whose gates are evaluated.", flag="--for"
    )
    rehash: bool = setting(False, "Read every staged file again and compare its hash.")
    output: Path | None = setting(None, "Where the result goes; gates_<step>.json in the evidence folder.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class BalanceSettings(Settings):
    """When content is out of balance."""

    dominant_share: float = setting(0.40, "Share of a split above which a category dominates it.", gt=0, le=1)
    pool_margin: float = setting(0.10, "It may exceed the pool's share by this, where the pool is known.", ge=0, le=1)
    pool_json: Path | None = setting(None, "An audit of a wider pool of episodes: what shares are to be expected.")
    null_quantile: float = setting(
        0.95, "Splits differ where their distance is above this quantile of random deals of sessions.", gt=0, lt=1
    )
    null_draws: int = setting(2000, "Random deals.", ge=100)
    unknown_share: float = setting(0.05, "Most episodes without a category, as a share.", ge=0, le=1)
    clusters: int = setting(8, "Clusters of the cross-check by texts.", ge=2)
    audit_seed: int = setting(7, "Seed of clusters and random deals.")


class PrepareAuditSettings(PlanFolderSettings, BalanceSettings, WorkerSettings):
    """The content audit."""

    selection_json: Path | None = setting(
        None, "Selection that names episodes and splits; without it the data root's transfer manifest does."
    )
    manifest_json: Path | None = setting(
        None, "The episode manifest that it belongs to; found beside --output-json by its schema."
    )
    jobs: int = setting(2, "Files that are read at the same time.", ge=1, le=128)
    output_json: Path = setting(Path("results/omni_finetune/staged_content_audit_128.json"), "Where the JSON goes.")
    output_csv: Path = setting(Path("results/omni_finetune/staged_content_audit_128.csv"), "Where the CSV goes.")
    report_output: Path = setting(
        Path("results/omni_finetune/STAGED_CONTENT_AUDIT_128.md"), "Where the Markdown goes, and a page beside it."
    )
    json_output: bool = setting(False, "Print the result as JSON on stdout, without the rows.", flag="--json")


class PrepareRunSettings(WorkerSettings, UsableSettings, BalanceSettings, ProgressSettings, CommonSettings):
    """`xperience prepare run`."""

    data_root: Path = setting(Path("xperience10m_128"), "Folder of the staged episodes.", env=("TRAINING_DATA_ROOT",))
    evidence: Path = setting(Path("results/omni_finetune"), "Folder that every artefact goes to, by the plan's names.")
    selection_json: Path | None = setting(
        None, "Selection whose split is inherited; without it that of the data root's transfer manifest is."
    )
    target_episodes: int = setting(128, "Whole episodes that the data root has to have.", ge=1)
    step: Literal["prepare", "train"] = setting("prepare", "The step whose gates are evaluated.", flag="--for")
    jobs: int = setting(2, "Files that are read at the same time: one core each.", ge=1, le=128)
    shard: str = setting("", "Check every N-th episode: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    run: str = setting("", "Name that the shards of one run share, so that those of another do not count.")
    wait_for_shards_seconds: float = setting(3600.0, "How long shard 0 waits for the checks of the others.", ge=0)


class PrepareReviewSettings(Settings):
    """The review of a content audit."""

    audit_json: Path = setting(
        Path("results/omni_finetune/staged_content_audit_128.json"), "The audit that is decided on."
    )
    decision: Literal["accept", "accept-with-exception", "reject"] = setting("accept", "The decision.")
    reviewer: str = setting("", "Who decides.")
    reason: str = setting("", "Why; needed for everything but accept.")
    output: Path | None = setting(None, "Where the review goes; audit_review.json beside the audit.")


class WindowsFolderSettings(CommonSettings):
    """Where windows lie."""

    windows: Path = setting(Path("results/windows"), "Folder of the windows: windows.json, the index and media/.")
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class WindowsBuildSettings(WindowsFolderSettings):
    """`xperience windows build`."""

    manifest_json: Path = setting(
        Path("results/omni_finetune/episode_manifest_128.json"), "What `prepare manifest` wrote."
    )
    data_root: Path | None = setting(
        None, "Folder of the staged episodes; without it the manifest's.", env=("TRAINING_DATA_ROOT",)
    )
    scales: str = setting("20/20", "Windows as frames/stride; several with commas, as in 20/20,40/20,80/40.")
    least_label_share: float = setting(0.6, "Share of a window's labelled frames that its action has.", gt=0.5, le=1)
    longest_gap_seconds: float = setting(1.0, "Leave out windows across a longer hole of the device's clock.", gt=0)
    cap: int = setting(256, "Most windows of an episode in the index, evenly over its time, in every split.", ge=1)
    uncapped_test: bool = setting(True, "Write a second index of all test windows, the one that evaluation takes.")
    context_seconds: float = setting(6.0, "Frames and sound around a window that a model is to see.", gt=0)
    contact_threshold: float = setting(
        0.5, "A wrist (ankle or foot) touches from this value of full_body_mocap/contacts on.", gt=0, le=1
    )
    cameras: str = setting(
        "fisheye_cam0,fisheye_cam1,fisheye_cam2,fisheye_cam3,stereo_left,stereo_right",
        "Cameras whose frames are stored.", group="Media",
    )  # fmt: skip
    frame_rate_hz: float = setting(2.0, "Stored frames per second of the device's clock.", gt=0, le=60, group="Media")
    frame_pixels: int = setting(
        256, "Longer side of a stored frame; both become multiples of 32.", ge=32, le=4096, group="Media"
    )
    jpeg_scale: int = setting(3, "Quantiser of the stored JPEGs, from 1 (best) to 31.", ge=1, le=31, group="Media")
    jobs: int = setting(2, "Episodes that are decoded at the same time: one core each.", ge=1, le=128)
    shard: str = setting("", "Decode every N-th episode: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    merge: bool = setting(False, "Decode nothing: write the index from the media of all shards.")


class WindowsVerifySettings(WindowsFolderSettings):
    """`xperience windows verify`."""

    manifest_json: Path | None = setting(None, "Manifest that the windows have to be made from; without it any.")
    report: Path | None = setting(None, "Where the report goes; verified.json beside windows.json.")


class WindowsStatsSettings(WindowsFolderSettings):
    """`xperience windows stats`."""


class PrepareReplaceSettings(PrepareProbeSettings):
    """Swaps of episodes."""

    episode: list[str] = setting(
        [], "Episode to swap, <session>/<episode>, repeatable; without any, the unusable ones."
    )
    reason: str = setting("", "Why a usable episode that is named shall go.")
    exclude: list[str] = setting([], "Session that must not come in, repeatable.")
    probe_json: Path | None = setting(None, "What `prepare probe` wrote: which episodes are not usable.")
    check_json: Path | None = setting(None, "What `prepare check` wrote; stands before the probe.")
    until_balanced: bool = setting(False, "Search swaps in train and val that mend the audit of --audit-json.")
    audit_json: Path | None = setting(None, "The content audit that shall be mended.")
    most_probes: int = setting(64, "Candidates of one size band that are probed at most.", ge=1)
    most_swaps: int = setting(32, "Swaps that a search for balance makes at most.", ge=1)
    output: Path = setting(Path("replacement.json"), "Where the swaps and what they mend are written.")
    selection_output: Path | None = setting(
        None, "Where the new selection goes; without it nothing but --output is written."
    )


class ReportSettings(EvidenceSettings):
    """The report."""

    step: Literal["prepare", "train", "cosmos-compatibility", "cosmos-post-training", "release"] = setting(
        "release", "The step whose gates are shown.", flag="--for"
    )
    title: str = setting("Xperience-10M", "Title of the page.")
    output: Path = setting(Path("report.html"), "Where the page goes.")


class Qwen3OmniTrainSettings(CommonSettings):
    """`xperience qwen3-omni train`."""

    windows: Path = setting(Path("results/windows"), "Folder of the windows.")
    base: Path = setting(Path("models/Qwen3-Omni-30B-A3B-Instruct"), "Folder of the base model.", env=("MODEL_ROOT",))
    output: Path = setting(Path("results/qwen3-omni"), "Folder of checkpoints, adapter and metrics.")
    strategy: Literal["ddp", "fsdp"] = setting("ddp", "ddp: the whole model on each GPU; fsdp: text layers sharded.")
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Of the frozen weights; the adapter is float32.")
    lora_rank: int = setting(16, "Rank of the adapter.", ge=1)
    lora_alpha: int = setting(32, "Scale of the adapter.", ge=1)
    lora_dropout: float = setting(0.05, "Dropout of the adapter; 0 with --experts.", ge=0, lt=1)
    experts: bool = setting(False, "Train the experts as well.")
    learning_rate: float = setting(1e-4, "Highest learning rate.", gt=0)
    warm_up_steps: int = setting(20, "Steps until it is reached; a cosine to a tenth of it follows.", ge=0)
    clip_norm: float = setting(1.0, "Longest gradient.", gt=0)
    epochs: int = setting(1, "Times that every window is seen.", ge=1)
    seed: int = setting(7, "Seed of order and dropout.")
    pack_tokens: int = setting(8192, "Most tokens of a pack: one forward pass of one process.", ge=64)
    packs_per_step: int = setting(16, "Packs of an optimiser step; a multiple of every possible number of processes.")
    recompute: bool = setting(True, "Recompute activations in the backward pass: less memory, a third more work.")
    loader_workers: int = setting(4, "Processes that read media, per process of the run.", ge=0)
    checkpoint_every_steps: int = setting(25, "Steps that a kill -9 costs at most.", ge=1)
    validate_every_steps: int = setting(50, "Steps between two validations.", ge=1)
    validation_windows: int = setting(512, "Windows of val, evenly chosen.", ge=1)
    patience: int = setting(3, "Stop after so many validations in a row without a better one; 0 never.", ge=0)
    metrics_port: int | None = setting(None, "Serve Prometheus metrics of rank 0 on this port; 0 picks one.")
    processes: int = setting(1, "Processes (GPUs) of this host; PyTorchJob's PET_NPROC_PER_NODE wins.", ge=1)


class Qwen3OmniPlanSettings(Settings):
    """`xperience qwen3-omni plan`."""

    plan_windows: int = setting(32_768, "Windows of an epoch.", ge=1)
    epochs: int = setting(1, "Epochs.", ge=1)
    window_tokens: int = setting(1_300, "Tokens of a window, media and answer included.", ge=1)
    pack_tokens: int = setting(8192, "Most tokens of a pack.", ge=64)
    packs_per_step: int = setting(16, "Packs of an optimiser step.", ge=1)
    mfu: float = setting(0.15, "Share of a GPU's peak that is assumed.", gt=0, le=1)
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class Qwen3OmniEvaluateSettings(CommonSettings):
    """`xperience qwen3-omni evaluate`."""

    windows: Path = setting(Path("results/windows"), "Folder of the windows.")
    base: Path = setting(Path("models/Qwen3-Omni-30B-A3B-Instruct"), "Folder of the base model.", env=("MODEL_ROOT",))
    output: Path = setting(Path("results/qwen3-omni"), "Folder of the run: run.json, best/, evaluation/.")
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Of the weights.")
    zero_shot: bool = setting(False, "Answer with the base model alone: a baseline of the report.")
    batch: int = setting(16, "Windows that are answered at the same time.", ge=1)
    shard: str = setting("", "Answer every N-th window: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    merge: bool = setting(False, "Answer nothing: make the report of the answers of all --shards.")
    least_action_gain: float | None = setting(
        None, "Fail where the accuracy of actions is not above every fair baseline by this much; without it quality is"
        " reported alone.",
    )  # fmt: skip
    json_output: bool = setting(False, "Print the report as JSON on stdout.", flag="--json")


class Qwen3OmniMergeSettings(Settings):
    """`xperience qwen3-omni merge`."""

    base: Path = setting(Path("models/Qwen3-Omni-30B-A3B-Instruct"), "Folder of the base model.", env=("MODEL_ROOT",))
    adapter: Path = setting(Path("results/qwen3-omni/best"), "Folder of the adapter.")
    merged: Path = setting(Path("models/qwen3-omni-merged"), "Folder of the merged model; must not be there.")
