"""Swap episodes of a selection: same split, same size band, a session that nobody used, the best score first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xperience.common.errors import BadDataError, UsageError
from xperience.common.identity import FileIdentity
from xperience.common.layout import TRAINING_FILES
from xperience.selection.algorithm import Candidate, Chosen, Constants, complete_episodes, constants_within, score
from xperience.selection.document import PinnedSelection, PlanDocument, PlanEpisode, PlanFields, Replacement
from xperience.selection.model import SelectedEpisode, SelectedFile, Selection
from xperience.selection.pin import pinned_file
from xperience.selection.refusals import check_plan
from xperience.selection.write import episode_of, summary_of


@dataclass(frozen=True, slots=True)
class Swap:
    """One episode for another, in the same split, band and place; `reason` says why."""

    removed: PlanEpisode
    added: Chosen
    reason: str


class Pool:
    """The candidates for each size band, best score first, one per session, under the parent's own rules."""

    def __init__(self, parent: PlanFields, listing: Iterable[FileIdentity], *, excluded: Iterable[str] = ()) -> None:
        sizes = parent.annotation_size_summary_complete
        self.identities = {identity.path: identity for identity in listing}
        self.constants, candidates = constants_within(
            complete_episodes(self.identities.values()),
            band_bounds=(sizes.p25_bytes, sizes.median_bytes, sizes.p75_bytes),
            min_annotation_bytes=parent.rules.min_annotation_bytes,
            min_training_bytes=parent.rules.min_training_bytes,
        )
        used = {episode.top_level_session for episode in parent.selected_episodes}
        # An episode that was removed once stays out, and with it its session.
        used |= {replaced.removed.partition("/")[0] for replaced in getattr(parent, "replaces", [])}
        used |= {path.partition("/")[0] for path in excluded}
        self._best = _ranked((c for c in candidates if c.session not in used), self.constants, parent.seed)

    def of(self, band: str) -> Sequence[tuple[float, Candidate]]:
        """Candidates of a band with their scores."""
        return self._best.get(band, [])

    def selection(self, parent: PlanFields, chosen: Sequence[Candidate]) -> Selection:
        """The candidates as a selection of their own, so that they can be probed."""
        episodes = tuple(
            SelectedEpisode(
                path=candidate.path, session=candidate.session, split="train", size_band="", rank=rank,
                size_bytes=candidate.training_bytes, annotation_bytes=candidate.annotation_bytes,
                video_bytes=candidate.video_bytes,
                files=tuple(f"{candidate.path}/{name}" for name in TRAINING_FILES),
            )
            for rank, candidate in enumerate(chosen, start=1)
        )  # fmt: skip
        files = tuple(
            SelectedFile(path, known.size_bytes, known.sha256, known.git_sha1, episode.path)
            for episode in episodes
            for path in episode.files
            if (known := self.identities[path])
        )
        return Selection(parent.repo_id, "dataset", parent.repo_sha, files, episodes, "")


def _ranked(
    candidates: Iterable[Candidate], constants: Constants, seed: int
) -> dict[str, list[tuple[float, Candidate]]]:
    """As the selection's own walk: the best episode of each session and band, sorted by score, then by path."""
    best: dict[tuple[str, str], tuple[float, str, Candidate]] = {}
    for candidate in candidates:
        band = constants.band(candidate.annotation_bytes)
        entry = (score(candidate, band, constants, seed), candidate.path, candidate)
        key = (band, candidate.session)
        if key not in best or entry[:2] < best[key][:2]:
            best[key] = entry
    found: dict[str, list[tuple[float, Candidate]]] = {}
    for (band, _), (value, _, candidate) in sorted(best.items(), key=lambda item: item[1][:2]):
        found.setdefault(band, []).append((value, candidate))
    return found


def apply(
    parent: PlanDocument | PinnedSelection, swaps: Sequence[Swap], identities: Mapping[str, FileIdentity], *,
    parent_sha256: str, inputs: Mapping[str, str],
) -> PinnedSelection:  # fmt: skip
    """The parent with the swaps, every file pinned; each added episode takes the removed one's split, band and rank.

    UsageError where no swap is given, BadDataError where the hub no longer has a file of the parent.
    """
    if not swaps:
        raise UsageError("no swap", fix="Without one the selection stays as it is.")
    by_path = {swap.removed.episode_path: swap for swap in swaps}
    episodes = [
        episode_of(by_path[episode.episode_path].added) if episode.episode_path in by_path else episode
        for episode in parent.selected_episodes
    ]
    files = [path for episode in episodes for path in episode.download_files]
    missing = [path for path in files if path not in identities]
    if missing:
        raise BadDataError("selected files are not at the hub", where=missing[0], why=f"{len(missing)} of {len(files)}")
    kept = {name: getattr(parent, name) for name in PlanDocument.model_fields}
    changed = {
        "selected_episodes": episodes,
        "download_files": files,
        "selected_summary": summary_of(episodes, parent.selected_summary.windows_per_episode),
    }
    earlier = parent.replaces if isinstance(parent, PinnedSelection) else []
    made = PinnedSelection(
        inputs={**inputs, "selection": parent_sha256},
        files=[pinned_file(identities[path]) for path in files],
        replaces=[
            *earlier,
            *(
                Replacement(removed=swap.removed.episode_path, added=swap.added.candidate.path, reason=swap.reason)
                for swap in swaps
            ),
        ],
        **{**kept, **changed},
    )
    check_plan(made)
    return made
