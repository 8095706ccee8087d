import threading

import pytest

from xperience.relay.connections import TransferRules
from xperience.relay.events import Events
from xperience.relay.ledger import Ledger, State
from xperience.relay.plan import plan_batches
from xperience.relay.progress import Progress
from xperience.relay.scratch import Scratch
from xperience.relay.transfer_leg import TransferLeg
from xperience.selection.model import SelectedFile, Selection

MIB = 1 << 20
RULES = TransferRules(
    connections=8, range_bytes=16 * MIB, threshold_bytes=64 * MIB, chunked=True, retries=0, delete=True,
    alone_wait_seconds=None,
)  # fmt: skip


@pytest.fixture
def allot(tmp_path):
    """Connections of the files that start now: sizes of those that wait, streams of those in flight."""
    ledgers = []

    def made(waiting_mib, in_flight=()):
        ledger = Ledger(tmp_path / f"{len(ledgers)}.sqlite")
        ledgers.append(ledger)
        files = tuple(SelectedFile(f"f{n}", size * MIB, "0" * 64) for n, size in enumerate(waiting_mib))
        ledger.load(plan_batches(Selection("o/n", "dataset", "0" * 40, files, (), ""), max_bytes=1e15, max_episodes=9))
        for file in files:
            ledger.set(file.path, State.DOWNLOADED)
        leg = TransferLeg(
            ledger, Scratch(tmp_path), None, Events(tmp_path / "events"), Progress(), RULES, stop=threading.Event(),
            on_released=lambda: None,
        )  # fmt: skip
        leg._streams = {f"flying{n}": streams for n, streams in enumerate(in_flight)}
        leg._logged_in = sum(in_flight)
        return [(file.size_bytes // MIB, streams) for file, streams in leg._allot(set(leg._streams))]

    yield made
    for ledger in ledgers:
        ledger.close()


@pytest.mark.parametrize(
    ("waiting", "in_flight", "expected"),
    [
        pytest.param([1700], (), [(1700, 8)], id="a file alone has them all"),
        pytest.param([10], (), [(10, 1)], id="a small one needs no second"),
        pytest.param([5] * 20, (), [(5, 1)] * 8, id="many small ones have one each"),
        pytest.param([1700, 1700], (), [(1700, 4), (1700, 4)], id="two share"),
        pytest.param([1700, *[88] * 6], (), [(1700, 6), (88, 1), (88, 1)], id="bytes say how"),
        pytest.param([1700, *[88] * 60], (), [(1700, 4), *[(88, 1)] * 4], id="a large one never has one alone"),
        pytest.param([1700, 88, 88], (4, 1), [(88, 2), (88, 1)], id="it waits, and small ones fill the gap"),
        pytest.param([1700], (4, 1), [], id="it waits"),
        pytest.param([1700], (4,), [(1700, 4)], id="until there is room"),
        pytest.param([1700], (4, 4), [], id="nothing is free"),
    ],
)
def test_connections_are_shared_by_bytes(allot, waiting, in_flight, expected):
    assert allot(waiting, in_flight) == expected
