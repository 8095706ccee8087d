"""The selection algorithm of the plan, on a listing: filters, size bands, score, greedy walk, splits.

Pure and deterministic. The steps and their oddities (inclusive band bounds, banker's rounding, greedy bands) are those
of the program that made the real selection, so that it can be repeated.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xperience.common.errors import BadDataError, UsageError
from xperience.common.identity import FileIdentity
from xperience.common.layout import ANNOTATION, EXCLUDED_FILE, TRAINING_FILES, VIDEOS
from xperience.common.sizes import GIB
from xperience.selection.document import BANDS, SPLITS

SPLIT_SEED_OFFSET = 101


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the plan used. `least_annotation_bytes` is the floor below which no percentile goes."""

    target_episodes: int = 128
    seed: int = 7
    drop_percentile: float = 0.05
    least_annotation_bytes: int = GIB // 2
    val_fraction: float = 0.125
    test_fraction: float = 0.125
    train_fraction: float = 0.75
    windows_per_episode: int = 256

    def check(self) -> None:
        """UsageError where the fractions are not a whole."""
        if abs(self.train_fraction + self.val_fraction + self.test_fraction - 1) > 1e-6:
            raise UsageError("split fractions do not sum to 1", where="--train-fraction, --val-fraction, …")


@dataclass(frozen=True, slots=True)
class Constants:
    """What the algorithm derives from the whole listing: bounds and medians in bytes."""

    band_bounds: tuple[int, int, int]  # upper bounds of short, lower_mid, upper_mid; inclusive
    band_medians: dict[str, int]  # annotation bytes of a band's candidates
    training_median: int
    min_annotation_bytes: int
    min_training_bytes: int

    def band(self, annotation_bytes: int) -> str:
        """The size band of an annotation."""
        for name, bound in zip(BANDS, self.band_bounds, strict=False):
            if annotation_bytes <= bound:
                return name
        return BANDS[-1]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One complete episode of the listing."""

    path: str
    file_count: int
    total_bytes: int
    annotation_bytes: int
    video_bytes: int
    has_rrd: bool

    @property
    def session(self) -> str:
        """First part of the path."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """Last part of the path: ep<N>."""
        return self.path.rpartition("/")[2]

    @property
    def number(self) -> int:
        """N of ep<N>; 0 where the name has none."""
        digits = self.name.removeprefix("ep")
        return int(digits) if digits.isdigit() else 0

    @property
    def training_bytes(self) -> int:
        """Annotation and six videos."""
        return self.annotation_bytes + self.video_bytes


@dataclass(frozen=True, slots=True)
class Chosen:
    """A selected episode with its place; `rank` is from 1."""

    candidate: Candidate
    band: str
    score: float
    split: str
    rank: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The selection and the facts about the listing that go with it."""

    chosen: tuple[Chosen, ...]
    constants: Constants
    complete: tuple[Candidate, ...]
    candidates: int
    rejected: dict[str, int]


def complete_episodes(listing: Iterable[FileIdentity]) -> tuple[Candidate, ...]:
    """Folders with an annotation and all six videos, sorted by path."""
    folders: dict[str, dict[str, int]] = {}
    for file in listing:
        folder, _, name = file.path.rpartition("/")
        folders.setdefault(folder, {})[name] = file.size_bytes
    found = [
        Candidate(
            path=folder,
            file_count=len(files),
            total_bytes=sum(files.values()),
            annotation_bytes=files[ANNOTATION],
            video_bytes=sum(files[name] for name in VIDEOS),
            has_rrd=EXCLUDED_FILE in files,
        )
        for folder, files in folders.items()
        if folder and set(TRAINING_FILES) <= set(files)
    ]
    return tuple(sorted(found, key=lambda candidate: candidate.path))


def quantile(values: Sequence[int], q: float) -> int:
    """Linear interpolation at q·(n−1) of sorted values, rounded."""
    place = q * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return round(values[low] + (values[high] - values[low]) * (place - low))


def constants_within(
    complete: Iterable[Candidate], *, band_bounds: tuple[int, int, int], min_annotation_bytes: int,
    min_training_bytes: int,
) -> tuple[Constants, list[Candidate]]:  # fmt: skip
    """Constants and candidates of a listing under the bounds that a selection recorded."""
    candidates = [
        candidate
        for candidate in complete
        if candidate.annotation_bytes >= min_annotation_bytes and candidate.training_bytes >= min_training_bytes
    ]
    return _constants(candidates, band_bounds, min_annotation_bytes, min_training_bytes), candidates


def score(candidate: Candidate, band: str, constants: Constants, seed: int) -> float:
    """Lower is better: distance from the band's median, from the training median, late episodes, a tie-breaker."""
    median = constants.band_medians[band]
    digest = hashlib.sha256(f"{seed}:{candidate.path}".encode()).hexdigest()
    tie = int(digest[:12], 16) / 16**12
    return round(
        abs(candidate.annotation_bytes - median) / median
        + 0.25 * abs(candidate.training_bytes - constants.training_median) / constants.training_median
        + min(candidate.number / 64, 1) * 0.02
        + tie * 0.001,
        8,
    )


def split_of(paths: Iterable[str], parameters: Parameters) -> dict[str, str]:
    """Train, val and test within one band: sorted by sha256("<seed + 101>:<path>"), train first."""
    seed = parameters.seed + SPLIT_SEED_OFFSET
    ordered = sorted(paths, key=lambda path: hashlib.sha256(f"{seed}:{path}".encode()).hexdigest())
    val, test = round(len(ordered) * parameters.val_fraction), round(len(ordered) * parameters.test_fraction)
    train = len(ordered) - val - test
    names = [SPLITS[0]] * train + [SPLITS[1]] * val + [SPLITS[2]] * test
    return dict(zip(ordered, names, strict=True))


def select(
    listing: Iterable[FileIdentity], parameters: Parameters | None = None, constants: Constants | None = None
) -> Outcome:
    """Select episodes; `constants` stand in for those that the listing gives. BadDataError where there are too few."""
    parameters = parameters or Parameters()
    parameters.check()
    complete = complete_episodes(listing)
    if not complete:
        raise BadDataError("no complete episode in the listing", fix="Check the repository and its revision.")
    bounds, least_annotation, least_training = _bounds(complete, parameters)
    if constants is not None:
        bounds = constants.band_bounds
        least_annotation, least_training = constants.min_annotation_bytes, constants.min_training_bytes
    rejected: Counter[str] = Counter()
    candidates = []
    for candidate in complete:
        if candidate.annotation_bytes < least_annotation:
            rejected["annotation_too_small"] += 1
        elif candidate.training_bytes < least_training:
            rejected["training_too_small"] += 1
        else:
            candidates.append(candidate)
    if constants is None:
        constants = _constants(candidates, bounds, least_annotation, least_training)
    walked = _walk(candidates, constants, parameters)
    by_band: dict[str, list[str]] = {}
    for band, _, candidate in walked:
        by_band.setdefault(band, []).append(candidate.path)
    splits = {path: split for paths in by_band.values() for path, split in split_of(paths, parameters).items()}
    ordered = sorted(walked, key=lambda item: (BANDS.index(item[0]), item[1], item[2].path))
    chosen = tuple(
        Chosen(candidate, band, found, splits[candidate.path], rank)
        for rank, (band, found, candidate) in enumerate(ordered, start=1)
    )
    return Outcome(chosen, constants, complete, len(candidates), dict(rejected))


def _bounds(complete: Sequence[Candidate], parameters: Parameters) -> tuple[tuple[int, int, int], int, int]:
    annotations = sorted(candidate.annotation_bytes for candidate in complete)
    training = sorted(candidate.training_bytes for candidate in complete)
    bounds = (quantile(annotations, 0.25), quantile(annotations, 0.5), quantile(annotations, 0.75))
    least = max(parameters.least_annotation_bytes, quantile(annotations, parameters.drop_percentile))
    return bounds, least, quantile(training, parameters.drop_percentile)


def _constants(
    candidates: Sequence[Candidate], bounds: tuple[int, int, int], least_annotation: int, least_training: int
) -> Constants:
    if not candidates:
        raise BadDataError(
            "no episode passes the filters", why=f"annotations under {least_annotation} bytes are left out"
        )
    empty = Constants(bounds, {}, 0, least_annotation, least_training)
    medians = {}
    for band in BANDS:
        sizes = sorted(c.annotation_bytes for c in candidates if empty.band(c.annotation_bytes) == band)
        if sizes:
            medians[band] = quantile(sizes, 0.5)
    training = quantile(sorted(candidate.training_bytes for candidate in candidates), 0.5)
    return Constants(bounds, medians, training, least_annotation, least_training)


def _walk(
    candidates: Sequence[Candidate], constants: Constants, parameters: Parameters
) -> list[tuple[str, float, Candidate]]:
    """The best episode per session and band; then band by band, short to long, sessions not used before."""
    best: dict[tuple[str, str], tuple[float, str, Candidate]] = {}
    for candidate in candidates:
        band = constants.band(candidate.annotation_bytes)
        digest = hashlib.sha256(f"{parameters.seed}:{candidate.path}".encode()).hexdigest()
        entry = (score(candidate, band, constants, parameters.seed), digest, candidate)
        key = (candidate.session, band)
        if key not in best or entry[:2] < best[key][:2]:
            best[key] = entry
    bands = {
        band: sorted((entry for (_, of), entry in best.items() if of == band), key=lambda entry: entry[:2])
        for band in BANDS
    }
    share, rest = divmod(parameters.target_episodes, len(BANDS))
    used: set[str] = set()
    walked: list[tuple[str, float, Candidate]] = []
    for index, band in enumerate(BANDS):
        wanted = share + (index < rest)
        free = [entry for entry in bands[band] if entry[2].session not in used][:wanted]
        used.update(entry[2].session for entry in free)
        walked.extend((band, entry[0], entry[2]) for entry in free)
    everything = [(*entry[:2], band, entry[2]) for band in BANDS for entry in bands[band]]
    for found, _, band, candidate in sorted(everything, key=lambda item: item[:2]):
        if len(walked) >= parameters.target_episodes:
            break
        if candidate.session not in used:
            used.add(candidate.session)
            walked.append((band, found, candidate))
    if len(walked) < parameters.target_episodes:
        raise BadDataError(
            "too few sessions with a usable episode", why=f"{len(walked)} of {parameters.target_episodes}",
            fix="Lower --target-episodes.",
        )  # fmt: skip
    return walked
