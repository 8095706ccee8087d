"""The reader of annotation.hdf5: lazy, from a path or any seekable file; what is missing is a fact, not an exception.

Every method that reads returns None where the data set is not there. AnnotationError says that something is there and
is not what the schema says. Nothing outside of the file is ever opened: links and storage that lead elsewhere are
refused, since a file from elsewhere could name any file of this machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from xperience.common.errors import BadDataError
from xperience.episode.poses import Floats, Poses, poses_of
from xperience.episode.ranged import Range, RangedFile
from xperience.episode.timeline import Timeline, TimelineError, timeline_of

# 14 h at 20 frames per second; a real episode is cut at 5 minutes.
MOST_ROWS = 1_000_000
MOST_CHUNK_BYTES = 64 << 20
MOST_TEXT_BYTES = 64 << 20
CAPTION_KEYS = ("caption", "captions")
ALL = slice(None)


class AnnotationError(BadDataError):
    """A data set that is not what the schema says (65)."""


@dataclass(frozen=True)
class Hand:
    """`joints`: (R, 21, 3) float32, m, stereo-left camera frame, MANO order; NaN where `present` (R,) is false."""

    joints: NDArray[np.float32]
    present: NDArray[np.bool_]


@contextmanager
def _damage_at(where: str) -> Iterator[None]:
    """What libhdf5 raises of a damaged file, as ours, with the place; MemoryError stays what it is."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise AnnotationError("cannot be read", where=where, why=" ".join(str(error).split())[:200]) from error


class Annotation:
    """One open annotation.hdf5. `rows` is a slice of frames; R is their number."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    @classmethod
    def open(cls, source: Path | IO[bytes] | RangedFile) -> Self:
        """From a path or a seekable binary file; AnnotationError where it is no HDF5."""
        try:
            # No chunk is read twice: a cache would only be memory.
            return cls(h5py.File(source, "r", rdcc_nbytes=0))
        except (OSError, RuntimeError, ValueError) as error:
            raise AnnotationError("not an HDF5 file", why=" ".join(str(error).split())[:300]) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def groups(self) -> tuple[str, ...]:
        """Names at the top, sorted; groups of a broken link too."""
        with _damage_at("/"):
            return tuple(sorted(map(str, self._file)))

    def dataset(self, path: str) -> h5py.Dataset | None:
        """A data set by its path, followed by hard links alone; None where there is none."""
        found: Any = self._file
        with _damage_at(path):
            for name in path.split("/"):
                link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise AnnotationError("a link instead of data", where=path, why=type(link).__name__)
                found = found[name]
            if not isinstance(found, h5py.Dataset):
                return None
            if found.external or found.is_virtual:
                raise AnnotationError("its content lies in another file", where=path)
            return found

    def rows_of(self, path: str) -> int | None:
        """Rows of a per-frame data set."""
        dataset = self.dataset(path)
        return None if dataset is None else int(dataset.shape[0]) if dataset.shape else 0

    def extent(self, path: str, rows: slice) -> Range | None:
        """Where rows of a data set lie in the file; None where they lie in chunks, or nowhere."""
        dataset = self.dataset(path)
        offset = dataset.id.get_offset() if dataset is not None and dataset.ndim else None
        if dataset is None or offset is None:
            return None
        row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=float))
        return offset + rows.start * row_bytes, offset + rows.stop * row_bytes

    def timeline(self) -> Timeline | None:
        """`video/device_timestamp`, the one clock of an episode; TimelineError where it holds no timestamps."""
        dataset = self.dataset("video/device_timestamp")
        if dataset is None:
            return None
        if dataset.size is None or dataset.size > MOST_ROWS or dataset.dtype.itemsize > 64:
            raise TimelineError("no timeline", why=f"shape is {dataset.shape}, type {dataset.dtype}")
        return timeline_of(self._read(dataset))

    def caption(self) -> tuple[str, str | bytes] | None:
        """The key, `caption` or `captions`, and the text under it: JSON, or the relative path of a JSON file."""
        for key in CAPTION_KEYS:
            dataset = self.dataset(key)
            if dataset is not None:
                return key, self._text(dataset)
        return None

    def text(self, path: str) -> str | None:
        """A string such as `metadata/device_id`."""
        dataset = self.dataset(path)
        found = None if dataset is None else self._text(dataset)
        return found.decode(errors="replace") if isinstance(found, bytes) else found

    def poses(self, rows: slice = ALL) -> Poses | None:
        """`slam`, inverted: the body in the world."""
        turned, moved = self._frames("slam/quat_wxyz", (4,), rows), self._frames("slam/trans_xyz", (3,), rows)
        if turned is None or moved is None:
            return None
        if len(turned) != len(moved):
            raise AnnotationError("rows differ", where="slam", why=f"{len(turned)} rotations, {len(moved)} positions")
        return poses_of(turned, moved)

    def hand(self, side: str, rows: slice = ALL) -> Hand | None:
        """`hand_mocap/{side}_joints_3d`, side left or right; a row of NaN or of zeros is a hand that is not seen."""
        found = self._frames(f"hand_mocap/{side}_joints_3d", (21, 3), rows)
        if found is None:
            return None
        present = np.isfinite(found).all(axis=(1, 2)) & (found != 0).any(axis=(1, 2))
        return Hand(np.where(present[:, None, None], found, np.nan).astype(np.float32), present)

    def keypoints(self, rows: slice = ALL) -> NDArray[np.float32] | None:
        """`full_body_mocap/keypoints`: (R, 52, 3), m, world, SMPL-H joints."""
        found = self._frames("full_body_mocap/keypoints", (52, 3), rows)
        return None if found is None else found.astype(np.float32)

    def contacts(self, rows: slice = ALL) -> NDArray[np.float32] | None:
        """`full_body_mocap/contacts`: (R, 21), continuous, of the body's joints 1 to 21 in SMPL-H's order."""
        found = self._frames("full_body_mocap/contacts", (21,), rows)
        return None if found is None else found.astype(np.float32)

    def stereo_from_body(self) -> Floats | None:
        """`calibration/cam01/T_c0_b`: (4, 4), the stereo-left camera from the body."""
        dataset = self.dataset("calibration/cam01/T_c0_b")
        if dataset is None:
            return None
        if dataset.shape != (4, 4) or dataset.dtype.kind != "f":
            raise AnnotationError("not a transform", where="calibration/cam01/T_c0_b", why=str(dataset.shape))
        return np.asarray(self._read(dataset), dtype=np.float64)

    def _frames(self, path: str, shape: tuple[int, ...], rows: slice) -> NDArray[Any] | None:
        """Rows of a floating (N, …) data set; a leading axis of 1 is taken off."""
        dataset = self.dataset(path)
        if dataset is None:
            return None
        leading = dataset.ndim == len(shape) + 2 and dataset.shape[0] == 1
        # The shape is None where there is no dataspace.
        found: tuple[int, ...] = dataset.shape[1:] if leading else dataset.shape or ()
        if len(found) != len(shape) + 1 or found[1:] != shape or found[0] > MOST_ROWS or dataset.dtype.kind != "f":
            raise AnnotationError("not what the schema says", where=path, why=f"shape {found}, type {dataset.dtype}")
        return self._read(dataset, (0, rows) if leading else rows)

    def _read(self, dataset: h5py.Dataset, place: Any = ()) -> NDArray[Any]:
        if dataset.chunks and np.prod(dataset.chunks, dtype=float) * dataset.dtype.itemsize > MOST_CHUNK_BYTES:
            raise AnnotationError("chunks are too large", where=str(dataset.name), why=f"{dataset.chunks} values")
        with _damage_at(str(dataset.name)):
            return np.asarray(dataset[place])

    def _text(self, dataset: h5py.Dataset) -> str | bytes:
        """A scalar string of any type, or the one element of an array."""
        if dataset.size != 1 or dataset.dtype.kind not in "OS" or dataset.dtype.itemsize > MOST_TEXT_BYTES:
            raise AnnotationError("not a text", where=str(dataset.name), why=f"{dataset.shape}, {dataset.dtype}")
        value = self._read(dataset).reshape(-1)[0]
        if not isinstance(value, str | bytes):
            raise AnnotationError("not a text", where=str(dataset.name), why=type(value).__name__)
        return value.rstrip(b"\0") if isinstance(value, bytes) else value
