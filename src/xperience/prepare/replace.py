"""Which episodes go, which come in their place, and what that mends; nothing is moved here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from xperience.common.errors import RefusedError, UsageError
from xperience.common.evidence import Evidence, Part
from xperience.prepare.balance import Labelled, distances, findings_of, limit_of, split_contents, unknown_share
from xperience.prepare.content import ContentAudit, Thresholds
from xperience.prepare.vocabulary import UNKNOWN, UNPARSED
from xperience.selection.algorithm import Candidate, Chosen
from xperience.selection.document import PlanEpisode, PlanFields
from xperience.selection.swap import Pool, Swap

SEALED = "test"
PROBED_AT_ONCE = 8


class ProposedSwap(Part):
    """One swap, as it is shown and kept."""

    removed: str
    added: str
    split: str
    size_band: str
    reason: str
    removed_score: float
    added_score: float
    removed_category: str | None = None
    added_category: str | None = None


class Unmended(Part):
    """What no permitted swap mends, and why."""

    what: str
    why: str


class ReplacementPlan(Evidence):
    """Swaps that were found; `findings_before` and `findings_after` are the audit's, where balance was looked for."""

    SCHEMA: ClassVar[str] = "xperience.replacement/1"

    mode: Literal["quality", "balance"]
    swaps: list[ProposedSwap]
    unmended: list[Unmended]
    passed_over: dict[str, str]
    findings_before: list[str]
    findings_after: list[str]


@dataclass(frozen=True, slots=True)
class Probed:
    """A candidate after its probe: empty `why_not` is usable."""

    candidate: Candidate
    why_not: str
    category: str | None = None


Prober = Callable[[Sequence[Candidate]], list[Probed]]


def offenders(
    parent: PlanFields, named: Sequence[str], reason: str, bad: Mapping[str, str]
) -> list[tuple[PlanEpisode, str]]:
    """Episodes to be swapped, in rank order: those named, else all that are not usable (`bad`: path to why).

    RefusedError for a named test episode that is usable: the sealed set changes on the data's quality alone.
    """
    known = {episode.episode_path: episode for episode in parent.selected_episodes}
    for path in named:
        if path not in known:
            raise UsageError("not in the selection", where=path, fix="Name episodes as <session>/<episode>.")
        if known[path].split == SEALED and path not in bad:
            raise RefusedError(
                "a test episode is swapped on the data's quality alone", where=path,
                why="neither probe nor check found it unusable", fix="Leave the sealed test set as it is.",
            )  # fmt: skip
        if path not in bad and not reason.strip():
            raise UsageError("no reason", where=path, fix="Say with --reason why a usable episode shall go.")
    chosen = set(named) if named else set(bad)
    return [(known[path], bad.get(path) or reason) for path in known if path in chosen]


def swap_offenders(
    wanted: Sequence[tuple[PlanEpisode, str]], pool: Pool, probe: Prober, *, most_probes: int
) -> tuple[list[Swap], list[Unmended], dict[str, str]]:
    """The best-scored usable candidate for each; also what found none, and candidates that were passed over."""
    swaps: list[Swap] = []
    unmended: list[Unmended] = []
    passed_over: dict[str, str] = {}
    taken: set[str] = set()
    walks = {episode.size_band: _Walk(pool, episode.size_band, probe, most_probes) for episode, _ in wanted}
    for episode, reason in wanted:
        found = walks[episode.size_band].next(taken)
        if found is None:
            why = f"no usable candidate among {walks[episode.size_band].probed} probed of band {episode.size_band}"
            unmended.append(Unmended(what=episode.episode_path, why=why))
            continue
        value, candidate = found
        taken.add(candidate.session)
        swaps.append(Swap(episode, chosen_for(episode, value, candidate), reason))
    for walk in walks.values():
        passed_over |= walk.passed_over
    return swaps, unmended, dict(sorted(passed_over.items()))


def chosen_for(removed: PlanEpisode, value: float, candidate: Candidate) -> Chosen:
    """The candidate in the removed episode's place."""
    return Chosen(candidate, removed.size_band, value, removed.split, removed.selection_rank)


class _Walk:
    """Walks the candidates of one band by score, probing some at once."""

    def __init__(self, pool: Pool, band: str, probe: Prober, most_probes: int) -> None:
        self._rest = list(pool.of(band)[:most_probes])
        self._probe = probe
        self._usable: list[tuple[float, Candidate]] = []
        self.passed_over: dict[str, str] = {}
        self.probed = 0

    def next(self, taken: set[str]) -> tuple[float, Candidate] | None:
        """The best usable candidate whose session is not taken; it is given once."""
        while True:
            while self._usable:
                value, candidate = self._usable.pop(0)
                if candidate.session not in taken:
                    return value, candidate
            batch, self._rest = self._rest[:PROBED_AT_ONCE], self._rest[PROBED_AT_ONCE:]
            if not batch:
                return None
            self.probed += len(batch)
            for (value, candidate), found in zip(
                batch, self._probe([candidate for _, candidate in batch]), strict=True
            ):
                if found.why_not:
                    self.passed_over[candidate.path] = found.why_not
                else:
                    self._usable.append((value, candidate))


@dataclass(frozen=True, slots=True)
class Balanced:
    """What a search for balance ended with."""

    swaps: list[Swap]
    categories: dict[str, str]  # of added and removed episodes by path
    unmended: list[Unmended]
    passed_over: dict[str, str]
    before: list[str]
    after: list[str]


def balance(
    parent: PlanFields, audit: ContentAudit, pool: Pool, probe: Prober, *, most_probes: int, most_swaps: int
) -> Balanced:
    """Greedy search: the swap in train or val that lowers the excess most, until nothing is in excess or none helps.

    `most_probes` candidates of each band are probed, best scores first; test episodes are never touched.
    """
    thresholds, shares = audit.thresholds, audit.pool_shares
    category = {row.episode_path: row.category for row in audit.rows}
    now = {e.episode_path: Labelled(e.top_level_session, e.split, category.get(e.episode_path, UNPARSED))
           for e in parent.selected_episodes}  # fmt: skip
    before = _findings(list(now.values()), thresholds, shares)
    usable: dict[str, list[tuple[float, Probed]]] = {}
    passed_over: dict[str, str] = {}
    movable = {e.episode_path: e for e in parent.selected_episodes if e.split != SEALED}
    for band in sorted({episode.size_band for episode in movable.values()}) if before else ():
        tried = pool.of(band)[:most_probes]
        for (value, _), found in zip(tried, probe([candidate for _, candidate in tried]), strict=True):
            if found.why_not or found.category is None:
                passed_over[found.candidate.path] = found.why_not or "no category"
            else:
                usable.setdefault(band, []).append((value, found))
    swaps: list[Swap] = []
    taken: set[str] = set()
    while len(swaps) < most_swaps and _findings(list(now.values()), thresholds, shares):
        best = _best_swap(now, movable, usable, taken, thresholds, shares)
        if best is None:
            break
        removed, value, found = best
        reason = f"balance: {now[removed.episode_path].category} out, {found.category} in"
        swaps.append(Swap(removed, chosen_for(removed, value, found.candidate), reason))
        category[found.candidate.path] = str(found.category)
        taken.add(found.candidate.session)
        del now[removed.episode_path], movable[removed.episode_path]
        now[found.candidate.path] = Labelled(found.candidate.session, removed.split, str(found.category))
    after = _findings(list(now.values()), thresholds, shares)
    why = "test is sealed" if _only_test(after) else "no swap in train or val lowers it"
    return Balanced(swaps, category, [Unmended(what=finding, why=why) for finding in after], passed_over, before, after)


def _findings(episodes: Sequence[Labelled], thresholds: Thresholds, shares: Mapping[str, float] | None) -> list[str]:
    return findings_of(
        split_contents(episodes, thresholds, shares), distances(episodes, thresholds), unknown_share(episodes),
        thresholds,
    )  # fmt: skip


def _only_test(findings: Sequence[str]) -> bool:
    return bool(findings) and all(f" {SEALED}" in finding.partition(":")[0] for finding in findings)


def _excess(
    episodes: Sequence[Labelled], bounds: Mapping[tuple[str, ...], float], thresholds: Thresholds,
    shares: Mapping[str, float] | None,
) -> float:  # fmt: skip
    """How far shares and distances lie above their bounds, summed; 0 is balanced."""
    total = 0.0
    for content in split_contents(episodes, thresholds, shares):
        for name, count in content.category_counts.items():
            if name in UNKNOWN:
                continue
            total += max(0.0, count / content.episodes - limit_of(name, thresholds, shares))
    one_draw = thresholds.model_copy(update={"null_draws": 1})  # the bounds are those of the state before the swap
    for one in distances(episodes, one_draw):
        total += max(0.0, one.total_variation - bounds[tuple(one.splits)])
    return total + max(0.0, unknown_share(episodes) - thresholds.unknown_share)


def _best_swap(
    now: Mapping[str, Labelled], movable: Mapping[str, PlanEpisode], usable: Mapping[str, list[tuple[float, Probed]]],
    taken: set[str], thresholds: Thresholds, shares: Mapping[str, float] | None,
) -> tuple[PlanEpisode, float, Probed] | None:  # fmt: skip
    """One try for each (split, band, category out, category in): the worst score goes, the best comes."""
    episodes = list(now.values())
    bounds = {tuple(one.splits): one.null_quantile for one in distances(episodes, thresholds)}
    least = _excess(episodes, bounds, thresholds, shares)
    out: dict[tuple[str, str, str], PlanEpisode] = {}
    for path, episode in movable.items():
        key = (episode.split, episode.size_band, now[path].category)
        if key not in out or episode.selection_score > out[key].selection_score:
            out[key] = episode
    best: tuple[PlanEpisode, float, Probed] | None = None
    for (_, band, leaving), episode in sorted(out.items()):
        first: dict[str, tuple[float, Probed]] = {}
        for value, found in usable.get(band, []):
            if found.candidate.session not in taken:
                first.setdefault(str(found.category), (value, found))
        for coming, (value, found) in sorted(first.items()):
            if coming == leaving:
                continue
            labelled = now[episode.episode_path]
            tried = [one for one in episodes if one is not labelled]
            tried.append(replace(labelled, session=found.candidate.session, category=coming))
            excess = _excess(tried, bounds, thresholds, shares)
            if excess < least - 1e-9:
                least, best = excess, (episode, value, found)
    return best


def proposal(swap: Swap, categories: Mapping[str, str] | None = None) -> ProposedSwap:
    """A swap as it is shown and kept."""
    known = categories or {}
    return ProposedSwap(
        removed=swap.removed.episode_path, added=swap.added.candidate.path, split=swap.removed.split,
        size_band=swap.removed.size_band, reason=swap.reason, removed_score=swap.removed.selection_score,
        added_score=swap.added.score, removed_category=known.get(swap.removed.episode_path),
        added_category=known.get(swap.added.candidate.path),
    )  # fmt: skip
