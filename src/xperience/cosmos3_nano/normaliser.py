"""Actions between −1 and 1: quantiles of train alone, kept with their hash; what is clamped is counted."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.evidence import Evidence
from xperience.cosmos3_nano.actions import CONVENTION, Actions, Domain, columns
from xperience.episode.poses import Floats

QUANTILES = (0.01, 0.99)
# A column that does not move (a hand at rest, a rotation's diagonal) would be stretched to noise: 0.1 mm, 0.006°.
LEAST_SPAN = 1e-4


class ActionStatistics(Evidence):
    """`low` and `high` are the 1 % and 99 % quantiles of valid values of train, by column, in raw units."""

    SCHEMA: ClassVar[str] = "xperience.cosmos3-nano-action-statistics/1"

    domain: Domain
    convention: Literal["c2w_inv_prev_rot6d_cols"]
    method: Literal["quantile"]
    columns: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    steps: int
    sessions: list[str]

    def _scale(self) -> tuple[Floats, Floats]:
        low, high = np.array(self.low), np.array(self.high)
        return (low + high) / 2, np.maximum(high - low, LEAST_SPAN) / 2

    def unclamped(self, values: Floats) -> Floats:
        """(…, D) raw → about −1 to 1."""
        middle, half = self._scale()
        return (values - middle) / half

    def normalised(self, actions: Actions) -> tuple[Floats, float]:
        """(T, D) from −1 to 1, and the share of valid values that were clamped; what is not valid is 0."""
        if actions.domain != self.domain:
            raise BadDataError("statistics of another domain", where=self.domain, why=actions.domain)
        free = self.unclamped(actions.values)
        clamped = (np.abs(free) > 1) & actions.valid
        return np.where(actions.valid, np.clip(free, -1, 1), 0.0), float(clamped.sum() / max(1, actions.valid.sum()))

    def raw(self, values: Floats) -> Floats:
        """(…, D) model space → raw units."""
        middle, half = self._scale()
        return values * half + middle


def fit(parts: Sequence[tuple[str, str, Actions]]) -> ActionStatistics:
    """From (split, session, actions). RefusedError where one is not of train: val and test must leave no trace."""
    if not parts:
        raise BadDataError("no train clip to take statistics of")
    for split, session, _ in parts:
        if split != "train":
            raise RefusedError("statistics are of train alone", where=session, why=f"its split is {split}")
    domain = parts[0][2].domain
    values = np.concatenate([actions.values for _, _, actions in parts])
    valid = np.concatenate([actions.valid for _, _, actions in parts])
    low, high = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        known = values[valid[:, column], column]
        if len(known):
            low[column], high[column] = np.quantile(known, QUANTILES)
    return ActionStatistics(
        domain=domain, convention=CONVENTION, method="quantile", columns=columns(domain),
        low=tuple(low.tolist()), high=tuple(high.tolist()), steps=len(values),
        sessions=sorted({session for _, session, _ in parts}),
    )  # fmt: skip
