import json
import random
import uuid

import pytest

from xperience.common.errors import BadDataError, RefusedError, UsageError
from xperience.common.identity import FileIdentity
from xperience.common.layout import TRAINING_FILES
from xperience.prepare.content import AuditRow, ContentAudit, Thresholds
from xperience.prepare.replace import Probed, balance, offenders, swap_offenders
from xperience.selection.algorithm import Parameters, select
from xperience.selection.pin import pin
from xperience.selection.plan_file import parse_document
from xperience.selection.swap import Pool, apply
from xperience.selection.write import document_of

PARAMETERS = Parameters(target_episodes=64, least_annotation_bytes=0, drop_percentile=0.0)
THRESHOLDS = Thresholds(
    dominant_share=0.40, pool_margin=0.10, null_quantile=0.95, null_draws=200, unknown_share=0.05, seed=7
)
NAMES = ("paper", "retail", "parts", "food", "sewing")


def make_listing(sessions):
    drawn = random.Random(3)
    for number in range(sessions):
        session = uuid.UUID(int=number * 7919 + 1, version=4)
        for episode in (1, 2):
            for name in TRAINING_FILES:
                size = (1_900_000 if name == "annotation.hdf5" else 80_000) + drawn.randrange(100_000)
                yield FileIdentity(f"{session}/ep{episode}/{name}", size, sha256=f"{number * 2 + episode:064x}")


LISTING = list(make_listing(160))
PLAN = document_of(select(LISTING, PARAMETERS), PARAMETERS, repo_id="o/n", revision="1" * 40)
PARENT = pin(PLAN, {identity.path: identity for identity in LISTING}, source_sha256="22" * 32)
EPISODES = {episode.episode_path: episode for episode in PARENT.selected_episodes}
BY_SPLIT = {
    split: [path for path, episode in EPISODES.items() if episode.split == split] for split in ("train", "val", "test")
}


def usable(candidates):
    return [Probed(candidate, "") for candidate in candidates]


def swap(paths, probe=usable, pool=None, most_probes=64):
    pool = pool or Pool(PARENT, LISTING)
    return swap_offenders(offenders(PARENT, paths, "why", {}), pool, probe, most_probes=most_probes)


def test_a_swap_keeps_split_band_and_rank_and_takes_an_unused_session_with_the_best_score():
    paths = [BY_SPLIT["train"][0], BY_SPLIT["train"][20], BY_SPLIT["val"][0]]
    swaps, unmended, _ = swap(paths)
    assert unmended == []
    pool, used = Pool(PARENT, LISTING), {episode.top_level_session for episode in EPISODES.values()}
    taken = set()
    for one in swaps:
        assert one.added.candidate.session not in used | taken
        assert (one.added.split, one.added.rank) == (one.removed.split, one.removed.selection_rank)
        band = one.removed.size_band
        assert pool.constants.band(one.added.candidate.annotation_bytes) == band
        best = next(found for found in pool.of(band) if found[1].session not in taken)
        assert (one.added.score, one.added.candidate) == best
        taken.add(one.added.candidate.session)


def test_the_new_selection_names_parent_swaps_and_reasons_and_passes_the_readers_checks():
    swaps, _, _ = swap(BY_SPLIT["train"][:2])
    pool = Pool(PARENT, LISTING)
    made = apply(PARENT, swaps, pool.identities, parent_sha256=PARENT.known_by, inputs={"probe": "33" * 32})
    document = parse_document(json.dumps(made.document()).encode(), "made")
    assert document.selection().parent_sha256 == PARENT.known_by
    assert [(r.removed, r.reason) for r in document.replaces] == [(p, "why") for p in BY_SPLIT["train"][:2]]
    old = {(e.selection_rank, e.split, e.size_band) for e in PARENT.selected_episodes}
    assert {(e.selection_rank, e.split, e.size_band) for e in document.selected_episodes} == old
    kept = set(PARENT.download_files) & set(document.download_files)
    assert len(kept) == len(PARENT.download_files) - 14  # only the difference is to be relayed
    assert document.selected_summary.split_counts == PARENT.selected_summary.split_counts


def test_an_episode_that_was_removed_once_never_comes_back():
    swaps, _, _ = swap(BY_SPLIT["train"][:1])
    pool = Pool(PARENT, LISTING)
    second = apply(PARENT, swaps, pool.identities, parent_sha256="x", inputs={})
    removed = swaps[0].removed.top_level_session
    found = {
        c.session for band in ("short", "lower_mid", "upper_mid", "long") for _, c in Pool(second, LISTING).of(band)
    }
    assert removed not in found
    excluded = Pool(PARENT, LISTING, excluded=[swaps[0].added.candidate.session])
    assert swap(BY_SPLIT["train"][:1], pool=excluded)[0][0].added.candidate != swaps[0].added.candidate


def test_candidates_are_probed_and_the_unusable_are_passed_over_with_their_reason():
    best = swap(BY_SPLIT["train"][:1])[0][0].added.candidate

    def probe(candidates):
        return [Probed(c, "slam is missing" if c == best else "") for c in candidates]

    swaps, _, passed_over = swap(BY_SPLIT["train"][:1], probe)
    assert swaps[0].added.candidate != best
    assert passed_over == {best.path: "slam is missing"}


def test_where_no_candidate_is_usable_it_is_said_with_the_number_probed():
    swaps, unmended, passed_over = swap(
        BY_SPLIT["train"][:1], lambda candidates: [Probed(c, "no caption") for c in candidates], most_probes=5
    )
    assert swaps == []
    assert "among 5 probed" in unmended[0].why
    assert len(passed_over) == 5


def test_a_usable_test_episode_is_never_swapped_and_an_unusable_one_is():
    path = BY_SPLIT["test"][0]
    with pytest.raises(RefusedError, match="data's quality alone"):
        offenders(PARENT, [path], "I do not like it", {})
    assert offenders(PARENT, [path], "", {path: "no caption"}) == [(EPISODES[path], "no caption")]
    assert [e.episode_path for e, _ in offenders(PARENT, [], "", {path: "no caption", "x/y": "gone"})] == [path]


@pytest.mark.parametrize(
    ("named", "reason", "message"),
    [
        pytest.param("nowhere/ep1", "why", "not in the selection", id="unknown"),
        pytest.param(BY_SPLIT["train"][0], " ", "no reason", id="usable-and-no-reason"),
    ],
)
def test_what_cannot_be_named(named, reason, message):
    with pytest.raises(UsageError, match=message):
        offenders(PARENT, [named], reason, {})


def audit_of(category):
    rows = [
        AuditRow(
            episode_path=path,
            annotation_path="x",
            split=episode.split,
            size_band=episode.size_band,
            parse_status="ok",
            category=category(path, number),
        )
        for number, (path, episode) in enumerate(EPISODES.items())
    ]
    return ContentAudit(
        status="fail", data_root="", selection_json="", episode_count=64, category_counts={}, split_category_counts={},
        thresholds=THRESHOLDS, pool_shares=None, splits=[], distances=[], unknown_share=0, labels=[],
        repeated_main_tasks=[], repeated_devices=[], clusters=None, findings=[], warnings=[], rows=rows, note="",
    )  # fmt: skip


def search(category, coming=lambda number: NAMES[number % len(NAMES)], **limits):
    def probe(candidates):
        return [Probed(candidate, "", coming(number)) for number, candidate in enumerate(candidates)]

    bounds = {"most_probes": 40, "most_swaps": 40} | limits
    return balance(PARENT, audit_of(category), Pool(PARENT, LISTING), probe, **bounds)


def spread(path, number):
    return NAMES[number % len(NAMES)]


def one_topic_in(*splits, share=0.8):
    def category(path, number):
        heavy = EPISODES[path].split in splits and number % 10 < share * 10
        return "paper" if heavy else NAMES[number % len(NAMES)]

    return category


def test_a_balanced_selection_is_left_alone():
    found = search(spread)
    assert (found.before, found.swaps, found.unmended) == ([], [], [])


def test_balance_is_found_by_swaps_in_train_and_val_alone():
    found = search(one_topic_in("train", "val"))
    assert any("paper dominates train" in finding for finding in found.before)
    assert found.after == []
    assert found.swaps
    assert {one.removed.split for one in found.swaps} <= {"train", "val"}
    for one in found.swaps:
        assert one.added.split == one.removed.split
        assert one.reason.startswith("balance: paper out, ")
        assert found.categories[one.added.candidate.path] != "paper"
    assert len({one.added.candidate.session for one in found.swaps}) == len(found.swaps)


def test_what_is_wrong_in_test_alone_is_said_to_be_sealed():
    found = search(one_topic_in("test", share=1.0))
    assert not any(one.removed.split == "test" for one in found.swaps)
    assert found.unmended
    assert any("paper dominates test" in left.what for left in found.unmended)


def test_where_the_pool_has_nothing_else_it_is_said_that_no_swap_helps():
    found = search(one_topic_in("train", "val", "test"), coming=lambda _number: "paper")
    assert found.swaps == []
    assert found.unmended[0].why == "no swap in train or val lowers it"
    assert found.after == found.before


def test_a_search_ends_at_its_bound():
    assert len(search(one_topic_in("train", "val"), most_swaps=3).swaps) == 3


def test_the_same_search_gives_the_same_swaps():
    first, again = search(one_topic_in("train")), search(one_topic_in("train"))
    assert first.swaps == again.swaps


def test_a_parent_whose_files_left_the_hub_is_refused():
    swaps, _, _ = swap(BY_SPLIT["train"][:1])
    fewer = {identity.path: identity for identity in LISTING if not identity.path.startswith(BY_SPLIT["val"][0])}
    with pytest.raises(BadDataError, match="not at the hub"):
        apply(PARENT, swaps, fewer, parent_sha256="x", inputs={})
