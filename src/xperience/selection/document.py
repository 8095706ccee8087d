"""The selection as JSON: the plan's own document, the same with every file pinned, and that of any repository."""

from typing import ClassVar

from pydantic import BaseModel, Field

from xperience.common.evidence import Evidence, Part
from xperience.selection.model import SelectedEpisode, SelectedFile, Selection

SPLITS = ("train", "val", "test")
BANDS = ("short", "lower_mid", "upper_mid", "long")


class PlanRules(Part):
    """The rules that made a selection."""

    complete_episode_required_files: list[str]
    excluded_training_files: list[str]
    one_episode_per_top_level_session: bool
    drop_bottom_annotation_percentile: float
    drop_bottom_training_percentile: float
    min_annotation_bytes: int
    min_annotation_human: str
    min_training_bytes: int
    min_training_human: str
    content_category_status: str


class SizeSummary(Part):
    """Quantiles of sizes over all complete episodes."""

    count: int
    min_bytes: int
    p05_bytes: int
    p25_bytes: int
    median_bytes: int
    p75_bytes: int
    p95_bytes: int
    max_bytes: int
    mean_bytes: int
    min_human: str
    p05_human: str
    p25_human: str
    median_human: str
    p75_human: str
    p95_human: str
    max_human: str
    mean_human: str


class PlanSummary(Part):
    """Counts and sums over the selected episodes."""

    episode_count: int
    unique_session_count: int
    split_counts: dict[str, int]
    size_band_counts: dict[str, int]
    split_band_counts: dict[str, int]
    estimated_download_bytes_excluding_visualization_rrd: int
    estimated_download_human_excluding_visualization_rrd: str
    estimated_annotation_bytes: int
    estimated_annotation_human: str
    estimated_windows_at_configured_limit: int
    windows_per_episode: int
    train_sessions_overlap_val: list[str]
    train_sessions_overlap_test: list[str]
    val_sessions_overlap_test: list[str]


class PlanEpisode(Part):
    """One selected episode; `total_bytes` may count the excluded file, the training bytes never do."""

    episode_path: str
    episode_id: str
    episode_number: int
    top_level_session: str
    file_count: int
    total_bytes: int
    training_bytes_excluding_visualization_rrd: int
    annotation_bytes: int
    video_bytes: int
    has_annotation: bool
    has_all_six_videos: bool
    has_visualization_rrd: bool
    missing_required_files: list[str]
    download_files: list[str]
    size_band: str
    annotation_human: str
    training_human: str
    selection_score: float
    split: str
    selection_rank: int


class PlanFields(BaseModel):
    """The fields of the plan's JSON, in its order."""

    status: str
    generated_at_utc: str
    repo_id: str
    repo_sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    selection_type: str
    target_episodes: int
    seed: int
    rules: PlanRules
    available_complete_episodes: int
    candidate_episodes_after_filters: int
    rejected_counts: dict[str, int]
    annotation_size_summary_complete: SizeSummary
    training_size_summary_complete: SizeSummary
    selected_summary: PlanSummary
    selected_episodes: list[PlanEpisode]
    download_files: list[str]


class PlanDocument(PlanFields, Part):
    """The plan's JSON as it is."""

    def selection(self, source_sha256: str) -> Selection:
        """In memory; sizes and hashes of single files are not known."""
        return _selection(self, source_sha256, {}, None)


class PinnedFile(Part):
    """One file at the pinned revision; exactly one of the hashes is the hub's."""

    path: str
    size_bytes: int = Field(ge=0)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    git_sha1: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")


class Replacement(Part):
    """An episode that took another's place, and why."""

    removed: str
    added: str
    reason: str


class PinnedSelection(Evidence, PlanFields):
    """The plan's fields with size and hash of every file; `inputs.selection` is the file that it was pinned from."""

    SCHEMA: ClassVar[str] = "xperience.selection/1"

    files: list[PinnedFile]
    replaces: list[Replacement] = Field(default_factory=list)

    def selection(self, source_sha256: str = "") -> Selection:
        """In memory; known by the hash of its content, so that writing it anew changes nothing."""
        pinned = {file.path: file for file in self.files}
        return _selection(self, source_sha256 or self.known_by, pinned, self.inputs.get("selection"))


class RepositorySelection(Evidence):
    """Files of any repository, no episodes."""

    SCHEMA: ClassVar[str] = "xperience.repository-selection/1"

    repo_id: str
    repo_type: str
    repo_sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    include: list[str]
    exclude: list[str]
    files: list[PinnedFile]

    def selection(self, source_sha256: str = "") -> Selection:
        """In memory; known by the hash of its content."""
        files = tuple(SelectedFile(file.path, file.size_bytes, file.sha256, file.git_sha1) for file in self.files)
        return Selection(self.repo_id, self.repo_type, self.repo_sha, files, (), source_sha256 or self.known_by)


def _selection(
    document: PlanFields, source_sha256: str, pinned: dict[str, PinnedFile], parent_sha256: str | None
) -> Selection:
    episodes = tuple(
        SelectedEpisode(
            path=episode.episode_path,
            session=episode.top_level_session,
            split=episode.split,
            size_band=episode.size_band,
            rank=episode.selection_rank,
            size_bytes=episode.training_bytes_excluding_visualization_rrd,
            annotation_bytes=episode.annotation_bytes,
            video_bytes=episode.video_bytes,
            files=tuple(episode.download_files),
        )
        for episode in document.selected_episodes
    )
    files = []
    for episode in episodes:
        for path in episode.files:
            file = pinned.get(path)
            if file is None:
                files.append(SelectedFile(path, episode_path=episode.path))
            else:
                files.append(SelectedFile(path, file.size_bytes, file.sha256, file.git_sha1, episode.path))
    return Selection(
        document.repo_id, "dataset", document.repo_sha, tuple(files), episodes, source_sha256, parent_sha256
    )
