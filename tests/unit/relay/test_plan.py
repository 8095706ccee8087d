import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xperience.common.errors import ConfigurationError, NoSpaceError
from xperience.common.sizes import GIB
from xperience.relay.ledger import Ledger
from xperience.relay.plan import LEAD_FILES, check_parts, check_scratch, estimate, plan_batches
from xperience.selection.model import SelectedEpisode, SelectedFile, Selection


def repository(*sizes: int) -> Selection:
    files = tuple(SelectedFile(f"f{n:05}", size, "0" * 64) for n, size in enumerate(sizes))
    return Selection("org/name", "dataset", "0" * 40, files, (), "")


def episodes(*sizes: int) -> Selection:
    made = tuple(
        SelectedEpisode(f"s{n}/ep1", f"s{n}", "train", "short", n + 1, size, size, 0, (f"s{n}/ep1/annotation.hdf5",))
        for n, size in enumerate(sizes)
    )
    files = tuple(SelectedFile(e.files[0], e.size_bytes, "0" * 64, None, e.path) for e in made)
    return Selection("org/name", "dataset", "0" * 40, files, made, "")


def test_a_batch_closes_when_its_episodes_or_bytes_would_exceed_the_limit():
    batches = plan_batches(episodes(5, 5, 5, 5, 5), max_bytes=12, max_episodes=16)
    assert [batch.size_bytes for batch in batches] == [10, 10, 5]
    batches = plan_batches(episodes(5, 5, 5, 5, 5), max_bytes=100, max_episodes=3)
    assert [len(batch.episodes) for batch in batches] == [3, 2]


def test_an_episode_larger_than_a_batch_is_a_batch_of_its_own():
    batches = plan_batches(episodes(5, 50, 5), max_bytes=12, max_episodes=16)
    assert [batch.size_bytes for batch in batches] == [5, 50, 5]


def test_a_plain_repository_is_cut_by_bytes_alone():
    batches = plan_batches(repository(*[1] * 40), max_bytes=30, max_episodes=4)
    assert [len(batch.files) for batch in batches] == [30, 10]


def test_files_of_a_batch_go_from_large_to_small_behind_the_smallest_of_the_first():
    first, second = plan_batches(repository(3, 9, 1, 2, 3, 8, 1, 2), max_bytes=15, max_episodes=1)
    assert [file.size_bytes for file in first.files] == [1, 2, 3, 9]
    assert [file.size_bytes for file in second.files] == [8, 3, 2, 1]


@pytest.mark.parametrize(
    ("largest", "lead"),
    [pytest.param(30, LEAD_FILES, id="a connection each"), pytest.param(100, 14, id="as many bytes as the largest")],
)
def test_small_files_lead_until_the_first_large_one_is_there(largest, lead):
    (batch,) = plan_batches(repository(*range(1, largest + 1)), max_bytes=1e9, max_episodes=1)
    expected = [*range(1, lead + 1), largest, largest - 1]
    assert [file.size_bytes for file in batch.files[: lead + 2]] == expected


def test_a_file_larger_than_the_budget_fails_at_plan_time_with_its_name():
    with pytest.raises(NoSpaceError, match="f00001"):
        check_scratch(repository(1, 9), 8, delete_after_transfer=True)


def test_a_selection_larger_than_the_budget_is_refused_where_copies_are_kept():
    with pytest.raises(NoSpaceError, match="delete-after-transfer"):
        check_scratch(repository(4, 4, 4), 8, delete_after_transfer=False)
    check_scratch(repository(4, 4, 4), 8, delete_after_transfer=True)


def test_the_estimate_of_two_equal_legs_is_one_leg_and_one_file():
    found = estimate([GIB] * 100, budget_bytes=8 * GIB, download_rate=GIB, transfer_rate=GIB)
    assert found.seconds == pytest.approx(101)
    assert found.sequential_seconds == pytest.approx(200)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(50, 200))
def test_the_estimate_never_exceeds_the_budget_and_never_beats_the_slower_leg(sizes, budget):
    found = estimate(sizes, budget_bytes=budget, download_rate=3.0, transfer_rate=2.0)
    assert found.peak_scratch_bytes <= budget
    assert found.seconds >= sum(sizes) / 2.0
    assert found.seconds <= found.sequential_seconds + 1e-6


def test_ten_thousand_files_are_planned_within_two_seconds(tmp_path):
    files = tuple(SelectedFile(f"s{n // 7}/e/f{n}", 1000 + n, "ab" * 32) for n in range(10_000))
    started = time.monotonic()
    batches = plan_batches(Selection("o/n", "dataset", "0" * 40, files, (), ""), max_bytes=1e6, max_episodes=16)
    estimate([f.size_bytes for b in batches for f in b.files], budget_bytes=10**6, download_rate=1e6, transfer_rate=1e6)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.load(batches)
    assert len(ledger.files()) == 10_000
    assert time.monotonic() - started < 2


def test_a_file_of_too_many_parts_is_refused_with_the_size_that_would_do():
    selection = repository(1, 10_000 * 2**20 + 1)
    check_parts(selection, 2 * 2**20)
    check_parts(selection, None)
    with pytest.raises(ConfigurationError, match="--chunk-size-mib 2"):
        check_parts(selection, 2**20)
