"""Write a selection as the plan has it: JSON, CSV and the list of files."""

import csv
import io
from collections import Counter

from xperience.common.evidence import now_utc
from xperience.common.layout import EXCLUDED_FILE, TRAINING_FILES
from xperience.common.sizes import human_bytes
from xperience.selection.algorithm import Candidate, Chosen, Outcome, Parameters, quantile
from xperience.selection.document import (
    PlanDocument,
    PlanEpisode,
    PlanFields,
    PlanRules,
    PlanSummary,
    SizeSummary,
)

CSV_COLUMNS = (
    "selection_rank", "split", "size_band", "episode_path", "top_level_session", "episode_id", "annotation_human",
    "training_human", "annotation_bytes", "training_bytes_excluding_visualization_rrd", "has_visualization_rrd",
    "selection_score",
)  # fmt: skip


def csv_of(document: PlanFields) -> str:
    """The plan's CSV, one line per episode."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for episode in document.selected_episodes:
        writer.writerow({name: getattr(episode, name) for name in CSV_COLUMNS})
    return text.getvalue()


def txt_of(document: PlanFields) -> str:
    """The plan's download list, one path per line."""
    return "".join(f"{path}\n" for path in document.download_files)


def document_of(outcome: Outcome, parameters: Parameters, *, repo_id: str, revision: str) -> PlanDocument:
    """The plan's JSON of a selection."""
    episodes = [episode_of(chosen) for chosen in outcome.chosen]
    constants = outcome.constants
    return PlanDocument(
        status="pass",
        generated_at_utc=now_utc(),
        repo_id=repo_id,
        repo_sha=revision,
        selection_type="metadata_balanced_first_pass",
        target_episodes=parameters.target_episodes,
        seed=parameters.seed,
        rules=PlanRules(
            complete_episode_required_files=list(TRAINING_FILES),
            excluded_training_files=[EXCLUDED_FILE],
            one_episode_per_top_level_session=True,
            drop_bottom_annotation_percentile=parameters.drop_percentile,
            drop_bottom_training_percentile=parameters.drop_percentile,
            min_annotation_bytes=constants.min_annotation_bytes,
            min_annotation_human=human_bytes(constants.min_annotation_bytes),
            min_training_bytes=constants.min_training_bytes,
            min_training_human=human_bytes(constants.min_training_bytes),
            content_category_status="not directly visible in HF metadata; "
            "refine after annotations are downloaded and captions are parsed",
        ),
        available_complete_episodes=len(outcome.complete),
        candidate_episodes_after_filters=outcome.candidates,
        rejected_counts=outcome.rejected,
        annotation_size_summary_complete=_sizes([candidate.annotation_bytes for candidate in outcome.complete]),
        training_size_summary_complete=_sizes([candidate.training_bytes for candidate in outcome.complete]),
        selected_summary=summary_of(episodes, parameters.windows_per_episode),
        selected_episodes=episodes,
        download_files=[path for episode in episodes for path in episode.download_files],
    )


def episode_of(chosen: Chosen) -> PlanEpisode:
    """The plan's record of an episode."""
    candidate: Candidate = chosen.candidate
    return PlanEpisode(
        episode_path=candidate.path,
        episode_id=candidate.name,
        episode_number=candidate.number,
        top_level_session=candidate.session,
        file_count=candidate.file_count,
        total_bytes=candidate.total_bytes,
        training_bytes_excluding_visualization_rrd=candidate.training_bytes,
        annotation_bytes=candidate.annotation_bytes,
        video_bytes=candidate.video_bytes,
        has_annotation=True,
        has_all_six_videos=True,
        has_visualization_rrd=candidate.has_rrd,
        missing_required_files=[],
        download_files=[f"{candidate.path}/{name}" for name in TRAINING_FILES],
        size_band=chosen.band,
        annotation_human=human_bytes(candidate.annotation_bytes),
        training_human=human_bytes(candidate.training_bytes),
        selection_score=chosen.score,
        split=chosen.split,
        selection_rank=chosen.rank,
    )


def _sizes(values: list[int]) -> SizeSummary:
    ordered = sorted(values)
    figures = {
        "min": ordered[0], "p05": quantile(ordered, 0.05), "p25": quantile(ordered, 0.25),
        "median": quantile(ordered, 0.5), "p75": quantile(ordered, 0.75), "p95": quantile(ordered, 0.95),
        "max": ordered[-1], "mean": round(sum(ordered) / len(ordered)),
    }  # fmt: skip
    return SizeSummary.model_validate(
        {"count": len(ordered)}
        | {f"{name}_bytes": value for name, value in figures.items()}
        | {f"{name}_human": human_bytes(value) for name, value in figures.items()}
    )


def summary_of(episodes: list[PlanEpisode], windows_per_episode: int) -> PlanSummary:
    """Counts and sums over the episodes."""

    def sessions(split: str) -> set[str]:
        return {episode.top_level_session for episode in episodes if episode.split == split}

    training = sum(episode.training_bytes_excluding_visualization_rrd for episode in episodes)
    annotations = sum(episode.annotation_bytes for episode in episodes)
    return PlanSummary(
        episode_count=len(episodes),
        unique_session_count=len({episode.top_level_session for episode in episodes}),
        split_counts=dict(sorted(Counter(episode.split for episode in episodes).items())),
        size_band_counts=dict(Counter(episode.size_band for episode in episodes)),
        split_band_counts=dict(Counter(f"{episode.split}/{episode.size_band}" for episode in episodes)),
        estimated_download_bytes_excluding_visualization_rrd=training,
        estimated_download_human_excluding_visualization_rrd=human_bytes(training),
        estimated_annotation_bytes=annotations,
        estimated_annotation_human=human_bytes(annotations),
        estimated_windows_at_configured_limit=len(episodes) * windows_per_episode,
        windows_per_episode=windows_per_episode,
        train_sessions_overlap_val=sorted(sessions("train") & sessions("val")),
        train_sessions_overlap_test=sorted(sessions("train") & sessions("test")),
        val_sessions_overlap_test=sorted(sessions("val") & sessions("test")),
    )
