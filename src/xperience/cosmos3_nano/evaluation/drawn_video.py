"""Videos of a record drawn from the model and held against the truth."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xperience.cosmos3_nano.actions import Actions
from xperience.cosmos3_nano.compatibility.subject import remember_encodings
from xperience.cosmos3_nano.evaluation.actions import truth_of
from xperience.cosmos3_nano.evaluation.frames import Video, scores_of
from xperience.cosmos3_nano.evaluation.video import COPY, MODEL, ORACLE, SHUFFLED, STILL, FrameScores
from xperience.cosmos3_nano.generator import draw, reconstructed, shown
from xperience.cosmos3_nano.media import store
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.record_set import STATISTICS
from xperience.cosmos3_nano.records import ForwardDynamicsRecord
from xperience.cosmos3_nano.sample import ClipSample, read_sample
from xperience.cosmos3_nano.trajectory import trivial


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


def _mean(scores: Sequence[FrameScores]) -> FrameScores:
    return FrameScores(
        psnr_db=round(float(np.mean([one.psnr_db for one in scores])), 4),
        ssim=round(float(np.mean([one.ssim for one in scores])), 6),
    )
