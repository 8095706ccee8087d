"""Rows of tokens with labels and positions, the gate that reads the labels back, and packing without padding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from xperience.common.patches import MERGE, TEMPORAL, patchify, video_tokens
from xperience.qwen3_omni import media
from xperience.qwen3_omni.prompt import answer_text, conversation
from xperience.qwen3_omni.sample import Sample, SampleFacts
from xperience.training.answers import IGNORED, Tokenizer, check_labels

POSITIONS_PER_SECOND = 13


@dataclass(frozen=True)
class Row:
    """One sample of S tokens. `positions` (4, S) float32: its own count, then time, height, width of M-RoPE.

    `pixels` (patches, 1536) with `grid` (3,) and `grid_seconds`, the time of one temporal patch; `features` (128, T).
    """

    id: str
    ids: list[int]
    labels: list[int]
    positions: torch.Tensor
    answer: str
    pixels: torch.Tensor | None = None
    grid: torch.Tensor | None = None
    grid_seconds: float = 0.0
    features: torch.Tensor | None = None


class RowMaker:
    """Samples to rows by one tokenizer; pieces of text are tokenised each on its own, and remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Tokens of one piece."""
        if text not in self._known:
            self._known[text] = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return self._known[text]

    def counts(self, facts: SampleFacts) -> tuple[int, int]:
        """Tokens of the row, and how many of them are supervised, before any media are read."""
        video, audio = facts.frames > 0, facts.samples >= media.LEAST_SAMPLES
        total = supervised = 0
        for piece in conversation(
            begin_seconds=facts.begin_seconds, end_seconds=facts.end_seconds, video=video, audio=audio,
            answer=facts.answer,
        ):  # fmt: skip
            if piece.kind == "video":
                total += video_tokens(media.grid_of(facts.frames, facts.height, facts.width)) + 2
            elif piece.kind == "audio":
                total += media.audio_tokens(media.mel_frames_of(facts.samples)) + 2
            else:
                total += len(self.ids(piece.text))
                supervised += len(self.ids(piece.text)) if piece.supervised else 0
        return total, supervised

    def row(self, sample: Sample, *, with_answer: bool = True) -> Row:
        """The row of a sample; without its answer it ends where the model begins to speak."""
        sound = sample.waveform if sample.waveform is not None and len(sample.waveform) >= media.LEAST_SAMPLES else None
        pixels = grid = features = None
        if sample.frames is not None:
            pixels, grid = patchify(sample.frames)
        if sound is not None:
            features = media.mel(sound)
        ids: list[int] = []
        labels: list[int] = []
        positions: list[torch.Tensor] = []
        next_position = 0.0
        for piece in conversation(
            begin_seconds=sample.begin_seconds, end_seconds=sample.end_seconds, video=pixels is not None,
            audio=features is not None, answer=sample.answer if with_answer else None,
        ):  # fmt: skip
            if piece.kind == "text":
                new = self.ids(piece.text)
                place = _run(next_position, len(new))
            elif piece.kind == "video":
                assert grid is not None  # noqa: S101  a piece of video is there where frames are
                new = self._medium("vision", "video", video_tokens(tuple(grid.tolist())))
                place = _around(_grid_positions(grid, sample.frame_seconds * TEMPORAL), next_position)
            else:
                assert features is not None  # noqa: S101
                new = self._medium("audio", "audio", media.audio_tokens(features.shape[-1]))
                place = _run(next_position, len(new))
            ids += new
            labels += new if piece.supervised else [IGNORED] * len(new)
            positions.append(place)
            next_position = float(place.max()) + 1
        count = torch.arange(len(ids), dtype=torch.float32)[None]
        return Row(
            id=sample.id, ids=ids, labels=labels, positions=torch.cat([count, torch.cat(positions, 1)]),
            answer=answer_text(sample.answer), pixels=pixels, grid=grid,
            grid_seconds=sample.frame_seconds * TEMPORAL, features=features,
        )  # fmt: skip

    def _medium(self, border: str, name: str, count: int) -> list[int]:
        number = self.tokenizer.convert_tokens_to_ids
        return [number(f"<|{border}_start|>"), *[number(f"<|{name}_pad|>")] * count, number(f"<|{border}_end|>")]

    def check_labels(self, row: Row) -> None:
        """The gate: what is supervised reads as the answer and its end, and nothing else; else BadDataError."""
        check_labels(self.tokenizer, row)


def _run(start: float, count: int) -> torch.Tensor:
    return (torch.arange(count, dtype=torch.float32) + start).expand(3, -1)


def _grid_positions(grid: torch.Tensor, grid_seconds: float) -> torch.Tensor:
    """(3, tokens) of a video from 0: time in 13ths of a second, then rows, then columns."""
    t, h, w = int(grid[0]), int(grid[1]) // MERGE, int(grid[2]) // MERGE
    time = (torch.arange(t) * (grid_seconds * POSITIONS_PER_SECOND)).float()
    return torch.stack(
        [
            time[:, None, None].expand(t, h, w).flatten(),
            torch.arange(h).float()[None, :, None].expand(t, h, w).flatten(),
            torch.arange(w).float()[None, None, :].expand(t, h, w).flatten(),
        ]
    )


def _around(inner: torch.Tensor, start: float) -> torch.Tensor:
    """A border token, the medium, a border token."""
    middle = inner + start + 1
    return torch.cat([_run(start, 1), middle, _run(float(middle.max()) + 1, 1)], 1)


def media_of(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Media of rows, in their order; nothing where no row has any."""
    batch: dict[str, torch.Tensor] = {}
    if videos := [row for row in rows if row.pixels is not None]:
        batch["pixel_values_videos"] = torch.cat([row.pixels for row in videos if row.pixels is not None])
        batch["video_grid_thw"] = torch.stack([row.grid for row in videos if row.grid is not None])
        batch["video_second_per_grid"] = torch.tensor([row.grid_seconds for row in videos])
    if sounds := [row.features for row in rows if row.features is not None]:
        longest = max(features.shape[-1] for features in sounds)
        batch["input_features"] = torch.stack(
            [torch.nn.functional.pad(features, (0, longest - features.shape[-1])) for features in sounds]
        )
        lengths = torch.tensor([features.shape[-1] for features in sounds])
        batch["feature_attention_mask"] = (torch.arange(longest)[None] < lengths[:, None]).long()
    return batch


def packed(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Rows one behind the other, (1, ΣS); attention ends where the first row of positions begins anew.

    No attention mask, no padding. The first label of a row is never predicted: the token before it is a stranger's.
    """
    return media_of(rows) | {
        "input_ids": torch.tensor([[token for row in rows for token in row.ids]]),
        "labels": torch.tensor([[label for row in rows for label in [IGNORED, *row.labels[1:]]]]),
        "position_ids": torch.cat([row.positions for row in rows], 1)[:, None, :],
    }


def padded(rows: Sequence[Row], pad_id: int, *, left: bool = False) -> dict[str, torch.Tensor]:
    """Rows side by side, (B, longest), with an attention mask; `left` for generation."""
    longest = max(len(row.ids) for row in rows)

    def fill(values: Sequence[int], what: int) -> list[int]:
        room = [what] * (longest - len(values))
        return [*room, *values] if left else [*values, *room]

    return media_of(rows) | {
        "input_ids": torch.tensor([fill(row.ids, pad_id) for row in rows]),
        "labels": torch.tensor([fill(row.labels, IGNORED) for row in rows]),
        "attention_mask": torch.tensor([fill([1] * len(row.ids), 0) for row in rows]),
    }


def to_device(batch: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch on a device; positions stay float32, whatever the model computes in."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
