import pytest

from xperience.prepare.balance import Labelled, distances, findings_of, split_contents, unknown_share
from xperience.prepare.content import Thresholds

THRESHOLDS = Thresholds(
    dominant_share=0.40, pool_margin=0.10, null_quantile=0.95, null_draws=2000, unknown_share=0.05, seed=7
)


def episodes(**splits):
    """episodes(train={"a": 3}, …): sessions are all different."""
    found = []
    for split, counts in splits.items():
        for category, count in counts.items():
            found += [Labelled(f"{split}-{category}-{number}", split, category) for number in range(count)]
    return found


def evenly(count):
    return {name: count for name in "abcd"}


@pytest.mark.parametrize(
    ("counts", "pool", "dominates"),
    [
        pytest.param({"a": 4, "b": 3, "c": 3}, None, False, id="the-limit-itself-does-not"),
        pytest.param({"a": 5, "b": 3, "c": 3}, None, True, id="above-it-does"),
        pytest.param({"a": 5, "b": 3, "c": 2}, {"a": 0.45}, False, id="the-pool-is-like-that"),
        pytest.param({"a": 6, "b": 2, "c": 2}, {"a": 0.45}, True, id="more-than-the-pool-and-its-margin"),
        pytest.param({"unparsed": 9, "a": 1}, None, False, id="unknown-is-no-category"),
    ],
)
def test_dominates(counts, pool, dominates):
    assert split_contents(episodes(train=counts), THRESHOLDS, pool)[0].dominates is dominates


def test_the_one_most_over_its_own_limit_is_shown():
    found = split_contents(episodes(val={"a": 5, "b": 5}), THRESHOLDS, {"a": 0.9, "b": 0.1})[0]
    assert (found.largest_category, found.dominates, found.limit) == ("b", True, 0.40)


def test_equal_splits_have_distance_0_and_disjoint_ones_1():
    same = distances(episodes(train=evenly(24), val=evenly(4), test=evenly(4)), THRESHOLDS)
    assert [one.total_variation for one in same] == [0.0, 0.0, 0.0]
    assert not any(one.differs for one in same)
    apart = distances(episodes(train={"a": 96}, val={"b": 16}), THRESHOLDS)[0]
    assert (apart.total_variation, apart.differs) == (1.0, True)


def test_what_chance_makes_of_16_of_128_is_not_held_against_a_split():
    unlucky = episodes(train={"a": 58, "b": 22, "c": 10, "d": 6}, val={"a": 7, "b": 5, "c": 3, "d": 1})
    found = distances(unlucky, THRESHOLDS)[0]
    assert found.total_variation > 0.15
    assert found.null_quantile > 0.2
    assert not found.differs


def test_a_split_of_another_kind_differs():
    found = distances(episodes(train={"a": 58, "b": 22, "c": 16}, val={"a": 1, "b": 1, "c": 14}), THRESHOLDS)[0]
    assert found.differs
    assert found.total_variation > 2 * found.null_quantile


def test_the_null_deals_whole_sessions():
    """Eight sessions of twelve equal episodes: dealing single episodes would say that chance keeps splits alike."""
    blocks = [
        Labelled(f"s{number}", "val" if number == 7 else "train", "ab"[number % 2])
        for number in range(8)
        for _ in range(12)
    ]
    singles = [Labelled(f"{one.session}-{number}", one.split, one.category) for number, one in enumerate(blocks)]
    assert not distances(blocks, THRESHOLDS)[0].differs
    assert distances(singles, THRESHOLDS)[0].differs


def test_the_same_seed_gives_the_same_null_and_another_one_another():
    listed = episodes(train=evenly(24), val={"a": 7, "b": 5, "c": 3, "d": 1})
    assert distances(listed, THRESHOLDS) == distances(listed, THRESHOLDS)
    other = THRESHOLDS.model_copy(update={"seed": 8})
    assert distances(listed, THRESHOLDS)[0].null_mean != distances(listed, other)[0].null_mean


def test_every_finding_is_a_sentence_with_its_figures():
    listed = episodes(train={"a": 90, "unparsed": 6}, val={"b": 16})
    found = findings_of(
        split_contents(listed, THRESHOLDS, None), distances(listed, THRESHOLDS), unknown_share(listed), THRESHOLDS
    )
    assert found[0] == "a dominates train: 93.8% of 96 episodes, at most 40.0%"
    assert found[2].startswith("train and val differ: distance 1.00, by chance at most 0.")
    assert found[3] == "5.4% of the episodes have no category, at most 5.0%"
