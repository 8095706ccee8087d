"""Future video from frame 0 and actions, beside the first frame held still and what other actions make of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xperience.cosmos3_nano.actions import Actions
from xperience.cosmos3_nano.compatibility.subject import remember_encodings
from xperience.cosmos3_nano.evaluation.actions import truth_of
from xperience.cosmos3_nano.evaluation.compared import Evaluation, mean_counts, metric
from xperience.cosmos3_nano.evaluation.frames import FrameScores, Video, scores_of
from xperience.cosmos3_nano.evaluation.lines import Line, lines_of
from xperience.cosmos3_nano.generator import draw, reconstructed
from xperience.cosmos3_nano.media import store
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.record_set import ARTEFACT, STATISTICS, RecordSet, read_records
from xperience.cosmos3_nano.records import ForwardDynamicsRecord
from xperience.cosmos3_nano.sample import ClipSample, read_sample
from xperience.cosmos3_nano.trajectory import trivial

MODEL, COPY, STILL, SHUFFLED = "model", "copy of the first frame", "no motion", "shuffled actions"
ORACLE = "VAE's own copy of the truth"
LEFT_OUT = {"lpips": "not_run(needs weights that no package brings)"}


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


def shuffled(sample: ClipSample, seed: int) -> ClipSample:
    """The same actions in another order, no one at its own place."""
    order = np.random.default_rng(seed).permutation(len(sample.actions))
    moved = np.empty_like(order)
    moved[order] = np.roll(order, 1)
    return sample.with_actions(sample.actions[moved])


def drawing(
    folder: Path, output: Path, pipeline: Any, *, seed: int, steps: int, draws: int
) -> Callable[[ForwardDynamicsRecord], dict[str, Any]]:
    """What makes the fields of a line of a record; the first drawn video goes to `output`/clips."""
    remember_encodings(pipeline)
    statistics = ActionStatistics.read(folder / STATISTICS)

    def made(record: ForwardDynamicsRecord) -> dict[str, Any]:
        sample = read_sample(folder, record)
        truth = truth_of(folder, record.actions, record.domain, statistics)
        still, _ = statistics.normalised(still_actions(truth, statistics))
        samples = {MODEL: sample, STILL: sample.with_actions(still)}
        videos: dict[str, list[Video]] = {name: [] for name in (*samples, SHUFFLED)}
        for number in range(seed, seed + draws):
            for name, given in (samples | {SHUFFLED: shuffled(sample, number)}).items():
                videos[name].append(draw(pipeline, given, "forward_dynamics", seed=number, steps=steps).video)
        shape = videos[MODEL][0].shape
        target = shown(pipeline, sample)[:, : shape[1], : shape[2]]
        others = {
            COPY: np.broadcast_to(target[:1], target.shape),
            ORACLE: reconstructed(pipeline, sample)[:, : shape[1], : shape[2]],
        }
        pipeline.forget_encodings()
        first = store(output, np.rint(videos[MODEL][0] * 255).astype(np.uint8), record.clip.fps)
        return {
            "clip_uri": first.uri,
            "scores": {name: _mean([scores_of(target, video) for video in of]) for name, of in videos.items()}
            | {name: scores_of(target, video) for name, video in others.items()},
        }  # fmt: skip

    return made


def still_actions(truth: Actions, statistics: ActionStatistics) -> Actions:
    """Raw actions of no motion, fingertips in the middle of train's range."""
    middle = statistics.raw(np.zeros(truth.values.shape[1]))
    return Actions(truth.domain, trivial(truth, middle)["no motion"][0], truth.valid)


def shown(pipeline: Any, sample: ClipSample) -> Video:
    """(T, H, W, 3) from 0 to 1: the clip on the canvas that the model sees."""
    pixels, _, _, _ = pipeline._prepare_action_video_conditioning(
        list(sample.frames), sample.record.tier, len(sample.frames), "cpu", pipeline.vae.dtype
    )
    return np.asarray((pixels[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).numpy())


def _mean(scores: Sequence[FrameScores]) -> FrameScores:
    return FrameScores(
        psnr_db=round(float(np.mean([one.psnr_db for one in scores])), 4),
        ssim=round(float(np.mean([one.ssim for one in scores])), 6),
    )


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
