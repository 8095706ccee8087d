"""Future video from frame 0 and actions, beside the first frame held still and what other actions make of it."""

from pathlib import Path
from typing import ClassVar

from xperience.common.evidence import Part
from xperience.cosmos3_nano.evaluation.compared import Evaluation, mean_counts, metric
from xperience.cosmos3_nano.evaluation.lines import Line, lines_of
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet, read_records
from xperience.cosmos3_nano.records import ForwardDynamicsRecord

MODEL, COPY, STILL, SHUFFLED = "model", "copy of the first frame", "no motion", "shuffled actions"
ORACLE = "VAE's own copy of the truth"
LEFT_OUT = {"lpips": "not_run(needs weights that no package brings)"}


class FrameScores(Part):
    """Means over pictures, of values from 0 to 1."""

    psnr_db: float
    ssim: float


class VideoEvaluation(Evaluation):
    """Videos of one split; `controllability` is the PSNR that the right actions bring over shuffled ones, dB."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-video-evaluation/1"

    draws: int
    controllability_db: float
    left_out: dict[str, str]


class VideoLine(Line):
    """Scores by what made the video, means over `draws` seeds; `clip_uri` is the first draw."""

    scores: dict[str, FrameScores]
    clip_uri: str


def video_records(folder: Path, split: str) -> list[ForwardDynamicsRecord]:
    """The forward dynamics records of a split."""
    found = read_records(folder, "forward_dynamics")
    return [record for record in found if isinstance(record, ForwardDynamicsRecord) and record.split == split]


def conclude(folder: Path, lines: dict[str, VideoLine], *, split: str) -> VideoEvaluation:
    """The report; BadDataError unless every record of the split has its prediction."""
    pairs = lines_of(video_records(folder, split), lines, split)
    sessions = [record.session_id for record, _ in pairs]
    metrics = {
        name: metric(
            mean_counts([getattr(line.scores[MODEL], name) for _, line in pairs]),
            {
                other: (mean_counts([getattr(line.scores[other], name) for _, line in pairs]), other == ORACLE)
                for other in (COPY, STILL, SHUFFLED, ORACLE)
            },
            sessions, higher_is_better=True,
        )
        for name in FrameScores.model_fields
    }  # fmt: skip
    return VideoEvaluation(
        inputs={"records": RecordSet.read(folder / ARTEFACT).content_sha256}, task="forward_dynamics", split=split,
        model_sha256=pairs[0][1].model_sha256, clips=len(pairs), sessions=len(set(sessions)), metrics=metrics,
        draws=pairs[0][1].draws, controllability_db=metrics["psnr_db"].trivial[SHUFFLED].difference,
        left_out=LEFT_OUT,
    )  # fmt: skip
