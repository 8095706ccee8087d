"""When a category dominates a split, and when splits differ by more than chance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from xperience.prepare.content import Distance, SplitContent, Thresholds
from xperience.prepare.vocabulary import UNKNOWN
from xperience.selection.document import SPLITS


@dataclass(frozen=True, slots=True)
class Labelled:
    """An episode as the balance sees it."""

    session: str
    split: str
    category: str


def split_contents(
    episodes: Sequence[Labelled], thresholds: Thresholds, pool: Mapping[str, float] | None
) -> list[SplitContent]:
    """Shares per split. Dominates: share > max(dominant_share, pool share + pool_margin where the pool is known)."""
    found = []
    for split in SPLITS:
        counts = Counter(episode.category for episode in episodes if episode.split == split)
        total = sum(counts.values())
        if not total:
            continue
        shares = {name: count / total for name, count in counts.items() if name not in UNKNOWN}
        over = {name: share - limit_of(name, thresholds, pool) for name, share in shares.items()}
        # Shown is what is most over its limit; without a pool that is the largest.
        largest = min(over, key=lambda name: (-over[name], name)) if over else ""
        limit = limit_of(largest, thresholds, pool)
        found.append(
            SplitContent(
                split=split,
                episodes=total,
                category_counts=dict(sorted(counts.items())),
                largest_category=largest,
                largest_share=round(shares.get(largest, 0.0), 6),
                limit=round(limit, 6),
                dominates=shares.get(largest, 0.0) > limit,
            )
        )
    return found


def limit_of(category: str, thresholds: Thresholds, pool: Mapping[str, float] | None) -> float:
    """The share above which a category dominates a split."""
    if pool is None:
        return thresholds.dominant_share
    return max(thresholds.dominant_share, pool.get(category, 0.0) + thresholds.pool_margin)


def distances(episodes: Sequence[Labelled], thresholds: Thresholds) -> list[Distance]:
    """Total variation distance of each two splits, against whole sessions dealt at random to splits of the same size.

    A distance differs where it is above the null's quantile: 16 of 128 episodes lie far from the rest by chance alone.
    """
    splits = [split for split in SPLITS if any(episode.split == split for episode in episodes)]
    names = sorted({episode.category for episode in episodes})
    sessions = sorted({(episode.session, episode.split) for episode in episodes})
    counts = np.zeros((len(sessions), len(names)))
    place = {session: number for number, session in enumerate(sessions)}
    for episode in episodes:
        counts[place[episode.session, episode.split], names.index(episode.category)] += 1
    of_split = np.array([splits.index(split) for _, split in sessions], dtype=int)
    found = _variations(counts, of_split, len(splits))
    drawn = np.random.default_rng(thresholds.seed)
    null = np.array(
        [_variations(counts, drawn.permutation(of_split), len(splits)) for _ in range(thresholds.null_draws)]
    ).reshape(thresholds.null_draws, -1)
    answers = []
    for number, (one, other) in enumerate(combinations(splits, 2)):
        bound = float(np.quantile(null[:, number], thresholds.null_quantile))
        # Shares are ratios of small integers: equal ones differ in their last bits.
        differs = bool(found[number] > bound + 1e-9)
        answers.append(
            Distance(
                splits=[one, other],
                total_variation=round(float(found[number]), 6),
                null_quantile=round(bound, 6),
                null_mean=round(float(null[:, number].mean()), 6),
                differs=differs,
            )
        )
    return answers


def _variations(counts: NDArray[np.float64], of_split: NDArray[np.int_], splits: int) -> NDArray[np.float64]:
    """Half the sum of absolute differences of shares, for each two splits in order."""
    sums = np.stack([counts[of_split == split].sum(axis=0) for split in range(splits)])
    shares = sums / np.maximum(sums.sum(axis=1, keepdims=True), 1)
    pairs = list(combinations(range(splits), 2))
    return np.array([np.abs(shares[one] - shares[other]).sum() / 2 for one, other in pairs])


def unknown_share(episodes: Sequence[Labelled]) -> float:
    """Share of episodes without a category."""
    return sum(episode.category in UNKNOWN for episode in episodes) / max(1, len(episodes))


def findings_of(
    splits: Sequence[SplitContent], apart: Sequence[Distance], unknown: float, thresholds: Thresholds
) -> list[str]:
    """What makes an audit fail, in sentences."""
    found = [
        f"{content.largest_category} dominates {content.split}: {content.largest_share:.1%} of {content.episodes} "
        f"episodes, at most {content.limit:.1%}"
        for content in splits
        if content.dominates
    ]
    found += [
        f"{one.splits[0]} and {one.splits[1]} differ: distance {one.total_variation:.2f}, by chance at most "
        f"{one.null_quantile:.2f} in {thresholds.null_quantile:.0%} of draws"
        for one in apart
        if one.differs
    ]
    if unknown > thresholds.unknown_share:
        found.append(f"{unknown:.1%} of the episodes have no category, at most {thresholds.unknown_share:.1%}")
    return found
