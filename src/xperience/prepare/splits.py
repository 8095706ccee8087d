"""Which episode is in which split: inherited from a selection or a transfer, drawn only where there is neither."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from xperience.common.errors import UsageError
from xperience.selection.document import SPLITS


@dataclass(frozen=True, slots=True)
class Fractions:
    """Shares of train, val and test; `given` says that somebody asked for them."""

    train: float = 0.75
    val: float = 0.125
    test: float = 0.125
    given: bool = False

    @classmethod
    def asked(cls, train: float | None, val: float | None, test: float | None) -> Self:
        """What the flags say; the plan's own where they say nothing."""
        plan = cls()
        return cls(
            plan.train if train is None else train, plan.val if val is None else val,
            plan.test if test is None else test, given=(train, val, test) != (None, None, None),
        )  # fmt: skip

    def check(self) -> None:
        """UsageError where they are not a whole."""
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise UsageError(
                "split fractions do not sum to 1", where="--train-fraction, --val-fraction, --test-fraction",
                why=f"{self.train:g} + {self.val:g} + {self.test:g}",
            )  # fmt: skip

    def counts(self, total: int) -> dict[str, int]:
        """Rounded counts; val and test have one at least where there are three."""
        least = int(total >= len(SPLITS))
        val, test = (max(least, round(total * share)) for share in (self.val, self.test))
        return dict(zip(SPLITS, (total - val - test, val, test), strict=True))


def draw(paths: Iterable[str], fractions: Fractions, seed: int) -> dict[str, str]:
    """A fresh random split of whole sessions: shuffle the sorted ones, train first, then val, then test.

    With one episode per session it is the draw of the plan's `build_episode_manifest.py`.
    """
    sessions: dict[str, list[str]] = {}
    for path in sorted(paths):
        sessions.setdefault(path.partition("/")[0], []).append(path)
    order = list(sessions)
    random.Random(seed).shuffle(order)  # noqa: S311  a split, no secret
    names = [split for split, count in fractions.counts(len(order)).items() for _ in range(count)]
    return {path: split for session, split in zip(order, names, strict=True) for path in sessions[session]}


def check_inherited(known: Mapping[str, str], fractions: Fractions, seed: int, *, redraw: bool, source: str) -> None:
    """UsageError where flags ask for another split than the one that stands, with the number that would change sides.

    Fractions that nobody gave agree with any split, given ones where they round to its own counts.
    """
    fractions.check()
    found = Counter(known.values())
    agree = not fractions.given or fractions.counts(len(known)) == {split: found[split] for split in SPLITS}
    if agree and not redraw:
        return
    drawn = draw(known, fractions, seed)
    changed = [path for path in known if drawn[path] != known[path]]
    sealed = sum(known[path] == "test" for path in changed)
    stands = "/".join(str(found[split]) for split in SPLITS)
    asked = "--redraw-split" if redraw else f"{fractions.train:g}/{fractions.val:g}/{fractions.test:g}"
    raise UsageError(
        "the split is already settled", where=asked,
        why=f"{source} has {stands} train/val/test; a fresh draw with seed {seed} would move {len(changed)} of "
        f"{len(known)} episodes to another side, {sealed} of them out of the sealed test set",
        fix="Leave the fractions at the selection's, and --redraw-split for data without a selection.",
    )  # fmt: skip


def shares_of(known: Mapping[str, str]) -> dict[str, float]:
    """The share of episodes in each split."""
    found = Counter(known.values())
    return {split: round(found[split] / max(1, len(known)), 6) for split in SPLITS}
