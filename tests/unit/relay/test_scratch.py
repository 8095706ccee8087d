import sys
import threading
import time

import pytest

from xperience.common.errors import NoSpaceError
from xperience.relay.ledger import Ledger, State
from xperience.relay.plan import plan_batches
from xperience.relay.scratch import Budget, Scratch
from xperience.selection.model import SelectedFile, Selection

SIZES = {"s/e/a": 4096, "s/e/b": 8192, "s/e/c": 12288}


@pytest.fixture
def scratch(tmp_path):
    return Scratch(tmp_path)


@pytest.fixture
def ledger(scratch):
    made = Ledger(scratch.ledger)
    files = tuple(SelectedFile(path, size, "0" * 64) for path, size in SIZES.items())
    selection = Selection("o/n", "dataset", "0" * 40, files, (), "")
    made.load(plan_batches(selection, max_bytes=1e9, max_episodes=9))
    yield made
    made.close()


def lay(scratch: Scratch, name: str, size: int) -> None:
    place = scratch.path_of(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"x" * size)


def left(scratch: Scratch) -> set[str]:
    return {str(place.relative_to(scratch.data)) for place in scratch.data.rglob("*") if place.is_file()}


def test_the_sweep_keeps_what_the_ledger_counts_and_deletes_the_rest(scratch, ledger):
    ledger.set("s/e/a", State.DOWNLOADED)
    ledger.set("s/e/b", State.RELEASED)
    for name in ("s/e/a", "s/e/b", "s/e/c.part", "s/e/c.ranges", "s/e/a.part", "stray/x"):
        lay(scratch, name, 4096)
    deleted, freed_bytes = scratch.sweep(ledger, budget_bytes=100_000)
    assert left(scratch) == {"s/e/a", "s/e/c.part", "s/e/c.ranges"}
    assert (deleted, freed_bytes) == (3, 3 * 4096)
    assert not (scratch.data / "stray").exists()


def test_the_sweep_deletes_partial_files_that_the_budget_does_not_hold(scratch, ledger):
    ledger.set("s/e/a", State.DOWNLOADED)
    lay(scratch, "s/e/a", 4096)
    lay(scratch, "s/e/c.part", 12288)
    scratch.sweep(ledger, budget_bytes=4096 + 12287)
    assert left(scratch) == {"s/e/a"}


def test_admission_stops_at_the_budget_and_goes_on_after_a_release(scratch, ledger):
    budget = Budget(scratch, ledger, budget_bytes=8192 + 12288, headroom_bytes=0)
    assert budget.admit(ledger.file("s/e/c"))
    assert budget.admit(ledger.file("s/e/b"))
    assert not budget.admit(ledger.file("s/e/a"))
    ledger.set("s/e/c", State.RELEASED)
    assert budget.admit(ledger.file("s/e/a"))


def test_admission_fails_where_the_volume_has_no_room_for_one_file(scratch, ledger):
    budget = Budget(scratch, ledger, budget_bytes=1 << 60, headroom_bytes=1 << 60)
    with pytest.raises(NoSpaceError, match="s/e/c"):
        budget.admit(ledger.file("s/e/c"))


def test_the_budget_is_what_is_free_less_headroom_where_that_is_less(scratch):
    free = scratch.free_bytes()
    assert scratch.budget_bytes(1000, 0) == 1000
    assert scratch.budget_bytes(1 << 60, 1 << 20) <= free
    with pytest.raises(NoSpaceError, match="headroom"):
        scratch.budget_bytes(1000, 1 << 60)


def test_release_deletes_the_copy_and_empty_folders_and_can_be_repeated(scratch, ledger):
    lay(scratch, "s/e/a", 10)
    scratch.release("s/e/a")
    scratch.release("s/e/a")
    assert not (scratch.data / "s").exists()
    assert scratch.data.exists()


def test_what_another_process_releases_meanwhile_counts_as_nothing(scratch):
    """The download leg may start beside a transfer leg that removes files and the folders that became empty."""
    ended = threading.Event()

    def lay_and_release():
        while not ended.is_set():
            for number in range(20):
                lay(scratch, f"s{number}/e/a", 10)
            for number in range(20):
                scratch.release(f"s{number}/e/a")

    other, interval, most = threading.Thread(target=lay_and_release), sys.getswitchinterval(), 0
    sys.setswitchinterval(1e-6)  # many changes between the two threads within a second
    other.start()
    try:
        ends_at = time.monotonic() + 0.5
        while time.monotonic() < ends_at:
            most = max(most, scratch.used_bytes())
    finally:
        ended.set()
        other.join()
        sys.setswitchinterval(interval)
    assert 0 < most <= 20 * 4096
