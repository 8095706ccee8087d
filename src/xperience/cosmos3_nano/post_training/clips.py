"""Clips of the generator: records of one split in their modes, latents encoded once and kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save

from xperience.common.errors import BadDataError
from xperience.common.files import sha256_of_file, write_atomic
from xperience.cosmos3_nano.flow import ActionRecord, Encoded, Example, Mode, domain_id_of, encode, example_from
from xperience.cosmos3_nano.media import read_clip
from xperience.cosmos3_nano.parts import ActionFile
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet, read_records
from xperience.cosmos3_nano.records import ActionProxyRecord, ForwardDynamicsRecord
from xperience.cosmos3_nano.sample import check_actions
from xperience.episode.poses import Floats


@dataclass(frozen=True)
class ClipFact:
    """What is known of a clip before it is read."""

    id: str
    session: str
    episode: str
    mode: Mode


class Clips(Protocol):
    """Clips by number; `facts` costs no reading of media."""

    content_sha256: str
    tier: int
    domain_id: int

    @property
    def facts(self) -> Sequence[ClipFact]:
        """All of them, in one fixed order."""
        ...

    def example(self, number: int, *, actions_of: int | None = None) -> Example:
        """One, with its own actions or those of another clip."""
        ...


class RecordClips:
    """The forward dynamics, inverse dynamics and policy records of one split."""

    def __init__(self, pipeline: Any, folder: Path, split: str, cache: Path, model_sha256: str) -> None:
        self.pipeline, self.folder, self.cache, self.model_sha256 = pipeline, folder, cache, model_sha256
        self.content_sha256 = RecordSet.read(folder / ARTEFACT).content_sha256
        self.records: list[ActionRecord] = [
            record
            for task in ("forward_dynamics", "action_proxy")
            for record in read_records(folder, task)
            if isinstance(record, ForwardDynamicsRecord | ActionProxyRecord) and record.split == split
        ]
        if not self.records:
            raise BadDataError("no action clip of a split", where=f"{folder}: {split}", fix="Run `export` again.")
        self.tier, self.domain_id = int(self.records[0].tier), domain_id_of(self.records[0].domain)
        self._facts = [ClipFact(r.record_id, r.session_id, r.episode_id, r.mode) for r in self.records]

    @property
    def facts(self) -> Sequence[ClipFact]:
        """All, in the order of the files."""
        return self._facts

    def example(self, number: int, *, actions_of: int | None = None) -> Example:
        """BadDataError where a file is not the record's, or holds what no model takes."""
        record = self.records[number]
        values, valid = self._actions(self.records[number if actions_of is None else actions_of])
        return example_from(self.pipeline, record, self.encoded(record), values, record.mode, valid)

    def _actions(self, record: ActionRecord) -> tuple[Floats, NDArray[np.bool_]]:
        stored = stored_actions(record)
        values = np.load(self._place(stored.uri, stored.sha256), allow_pickle=False).astype(np.float64)
        check_actions(values, domain=record.domain, chunk=record.chunk)
        return values, np.load(self._place(stored.valid_uri, stored.valid_sha256), allow_pickle=False).astype(bool)

    def encoded(self, record: ActionRecord) -> Encoded:
        """From the cache, else through the VAE and into it; a clip in three modes is encoded once."""
        kind = str(self.pipeline.vae.dtype).removeprefix("torch.")  # the digest of the weights is that of any
        name = f"{record.clip.sha256[:24]}-{record.tier}-{self.model_sha256[:16]}-{kind}.safetensors"
        place = self.cache / name
        if not place.exists():
            frames = read_clip(self._place(record.clip.uri, record.clip.sha256))
            if len(frames) != record.clip.num_frames:
                raise BadDataError("the clip has other frames", where=record.clip.uri, why=f"{len(frames)}")
            made = encode(self.pipeline, record, frames)
            size = {"height": str(made.height), "width": str(made.width)}
            write_atomic(place, save({"latents": made.latents.cpu().contiguous()}, metadata=size))
        with safe_open(place, "pt") as file:
            size = file.metadata()
            latents: torch.Tensor = file.get_tensor("latents")
        return Encoded(latents, int(size["height"]), int(size["width"]))

    def _place(self, uri: str, digest: str) -> Path:
        place = self.folder / uri
        if not place.is_file() or sha256_of_file(place) != digest:
            raise BadDataError("a file is not the record's", where=str(place), fix="Run `export` again.")
        return place


def stored_actions(record: ActionRecord) -> ActionFile:
    """The actions of a record, whichever task it is of."""
    return record.actions if isinstance(record, ForwardDynamicsRecord) else record.target_actions
