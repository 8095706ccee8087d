"""`xperience prepare`."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import EVIDENCE, CommonSettings, Settings, setting
from xperience.common.settings.cluster import ProgressSettings
from xperience.common.settings.hub import HubSettings


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
    output: Path = setting(EVIDENCE / "probe.json", "Where the report goes.")
    json_output: bool = setting(False, "Print the report as JSON on stdout.", flag="--json")


class PrepareReplaceSettings(PrepareProbeSettings):
    """Swaps of episodes."""

    episode: list[str] = setting(
        [], "Episode to swap, <session>/<episode>, repeatable; without any, the unusable ones."
    )
    reason: str = setting("", "Why a usable episode that is named shall go.")
    exclude: list[str] = setting([], "Session that must not come in, repeatable.")
    probe_json: Path | None = setting(None, "What `prepare probe` wrote; found beside --output by its schema.")
    check_json: Path | None = setting(None, "What `prepare check` wrote, found likewise; stands before the probe.")
    until_balanced: bool = setting(False, "Search swaps in train and val that mend the content audit.")
    audit_json: Path | None = setting(None, "The content audit that shall be mended; found likewise.")
    most_probes: int = setting(64, "Candidates of one size band that are probed at most.", ge=1)
    most_swaps: int = setting(32, "Swaps that a search for balance makes at most.", ge=1)
    output: Path = setting(EVIDENCE / "replacement.json", "Where the swaps and what they mend are written.")
    selection_output: Path | None = setting(
        None, "Where the new selection goes; without it nothing but --output is written."
    )


class PrepareCheckSettings(WorkerSettings, UsableSettings, CommonSettings):
    """`xperience prepare check`."""

    data_root: Path = setting(
        Path("xperience10m_128"), "Where the relay put the episodes.", env=("TRAINING_DATA_ROOT",)
    )
    transfer_manifest: Path | None = setting(None, "The relay's manifest; without it, the one in the data root.")
    jobs: int = setting(2, "Files that are hashed at the same time; as many are looked into.", ge=1, le=128)
    shard: str = setting("", "Check every N-th episode: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    merge: bool = setting(False, "Check nothing: make one report of those of all --shards.")
    output: Path = setting(EVIDENCE / "check.json", "Where the report goes; a shard's gets -i-of-N.")
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
    output: Path = setting(EVIDENCE / "episode_manifest_128.json", "Where the manifest goes.")
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
    output: Path = setting(EVIDENCE / "source_discovery_128.json", "Where the JSON goes.")
    report_output: Path = setting(EVIDENCE / "DATA_BLOCKER_REPORT_128.md", "Where the Markdown report goes.")
    json_output: bool = setting(False, "Print the result as JSON on stdout, without the episodes.", flag="--json")


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
    output_json: Path = setting(EVIDENCE / "staged_content_audit_128.json", "Where the JSON goes.")
    output_csv: Path = setting(EVIDENCE / "staged_content_audit_128.csv", "Where the CSV goes.")
    report_output: Path = setting(
        EVIDENCE / "STAGED_CONTENT_AUDIT_128.md", "Where the Markdown goes, and a page beside it."
    )
    json_output: bool = setting(False, "Print the result as JSON on stdout, without the rows.", flag="--json")


class PrepareRunSettings(WorkerSettings, UsableSettings, BalanceSettings, ProgressSettings, CommonSettings):
    """`xperience prepare run`."""

    data_root: Path = setting(Path("xperience10m_128"), "Folder of the staged episodes.", env=("TRAINING_DATA_ROOT",))
    evidence: Path = setting(EVIDENCE, "Folder that every artefact goes to, by the plan's names.")
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

    audit_json: Path = setting(EVIDENCE / "staged_content_audit_128.json", "The audit that is decided on.")
    decision: Literal["accept", "accept-with-exception", "reject"] = setting("accept", "The decision.")
    reviewer: str = setting("", "Who decides.")
    reason: str = setting("", "Why; needed for everything but accept.")
    output: Path | None = setting(None, "Where the review goes; audit_review.json beside the audit.")
