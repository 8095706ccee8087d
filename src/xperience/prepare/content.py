"""The content audit's artefact: what the captions say, how the splits differ, and whether that is acceptable."""

from typing import ClassVar, Literal

from pydantic import Field

from xperience.common.evidence import Evidence, Part


class AuditRow(Part):
    """One selected episode. `category` is of the main task, `category_eight` one of the plan's eight.

    `cluster` is None where there is no text.
    """

    episode_path: str
    annotation_path: str
    split: str
    size_band: str
    parse_status: Literal["ok", "missing", "failed"]
    error: str | None = None
    json_bytes: int = 0
    caption_sha256: str | None = None
    main_task: str = ""
    global_summary: str = ""
    segment_count: int = 0
    subtasks: list[str] = Field(default_factory=list)
    actions: list[str] = Field(default_factory=list)
    objects: list[str] = Field(default_factory=list)
    interaction_preview: str = ""
    device_id: str | None = None
    time_created: str | None = None
    category: str = "unparsed"
    category_eight: str = "unparsed"
    cluster: int | None = None


class Thresholds(Part):
    """What `dominates` and `differs` mean."""

    dominant_share: float
    pool_margin: float
    null_quantile: float
    null_draws: int
    unknown_share: float
    seed: int


class SplitContent(Part):
    """One split: `limit` is the share from which a category dominates it."""

    split: str
    episodes: int
    category_counts: dict[str, int]
    largest_category: str
    largest_share: float
    limit: float
    dominates: bool


class Distance(Part):
    """Total variation distance of two splits' categories, and the null's quantile at the same sizes."""

    splits: list[str]
    total_variation: float
    null_quantile: float
    null_mean: float
    differs: bool


class LabelOverlap(Part):
    """Labels of a split that train has too: distinct ones, and by the number of times they occur."""

    split: str
    kind: Literal["action", "subtask"]
    distinct: int
    seen: int
    seen_share: float
    seen_occurrence_share: float


class Repeated(Part):
    """A main task or a device that occurs in more than one split."""

    value: str
    episodes: dict[str, int]


class Clusters(Part):
    """TF-IDF and k-means as a cross-check; `agreement` is the adjusted mutual information with the categories."""

    count: int
    seed: int
    agreement: float
    terms: list[list[str]]
    split_counts: dict[str, list[int]]
    largest_share: dict[str, float]


class ContentAudit(Evidence):
    """`findings` are what makes the status fail, `warnings` what a reviewer should look at."""

    SCHEMA: ClassVar[str] = "xperience.content-audit/1"

    status: Literal["pass", "fail"]
    data_root: str
    selection_json: str
    episode_count: int
    category_counts: dict[str, int]
    split_category_counts: dict[str, dict[str, int]]
    thresholds: Thresholds
    pool_shares: dict[str, float] | None
    splits: list[SplitContent]
    distances: list[Distance]
    unknown_share: float
    labels: list[LabelOverlap]
    repeated_main_tasks: list[Repeated]
    repeated_devices: list[Repeated]
    clusters: Clusters | None
    findings: list[str]
    warnings: list[str]
    rows: list[AuditRow]
    note: str
