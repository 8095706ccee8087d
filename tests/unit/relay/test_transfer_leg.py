import threading
from dataclasses import replace

import pytest

from xperience.relay.connections import TransferRules, useful_streams
from xperience.relay.events import Events
from xperience.relay.ledger import Ledger, State
from xperience.relay.plan import Batch
from xperience.relay.progress import Progress
from xperience.relay.scratch import Scratch
from xperience.relay.transfer_leg import TransferLeg
from xperience.selection.model import SelectedFile

MIB = 1 << 20
RULES = TransferRules(
    connections=8, range_bytes=16 * MIB, threshold_bytes=64 * MIB, chunked=True, retries=0,
    delete=True, alone_wait_seconds=None,
)  # fmt: skip


@pytest.fixture
def allot(tmp_path):
    """Connections of the files that start now: sizes of those that wait, streams of those in flight."""
    ledgers = []

    def made(waiting_mib, in_flight=(), opened=None, ending=(), **rules):
        ledger = Ledger(tmp_path / f"{len(ledgers)}.sqlite")
        ledgers.append(ledger)
        files = tuple(SelectedFile(f"f{n}", size * MIB, "0" * 64) for n, size in enumerate(waiting_mib))
        ledger.load((Batch(0, (), files, sum(file.size_bytes for file in files)),))
        for file in files:
            ledger.set(file.path, State.DOWNLOADED)
        leg = TransferLeg(
            ledger, Scratch(tmp_path), None, Events(tmp_path / "events"), Progress(), replace(RULES, **rules),
            stop=threading.Event(), on_released=lambda: None,
        )  # fmt: skip
        leg._streams = {f"flying{n}": streams for n, streams in enumerate(in_flight)}
        leg._ending = {f"flying{n}" for n in ending}
        leg._open = opened
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
        pytest.param([88, 88], (), [(88, 3), (88, 3)], id="two ranges for each connection"),
        pytest.param([1700, *[88] * 6], (), [(1700, 4), (88, 3)], id="a third file waits rather than has one"),
        pytest.param([*[88] * 60, 1700, 1700], (), [(88, 3), (88, 3), (88, 2)], id="in their order"),
        pytest.param([88, 88, 1700], (4,), [(88, 3)], id="one connection is too few for three"),
        pytest.param([88, 1700, 88], (4,), [(88, 3)], id="none goes before another"),
        pytest.param([1700, 5, 5, 5], (), [(1700, 3), (5, 1), (5, 1), (5, 1)], id="a large one, and the rest"),
        pytest.param([*[5] * 60, 1700, 1700, 88], (), [(1700, 3)] * 2 + [(5, 1)] * 2, id="small ones have a quarter"),
        pytest.param([1700, 5], (1,) * 7, [], id="what comes free is kept for a large one"),
        pytest.param([1700, 5], (3, 3, 1), [(5, 1)], id="a small one before a third"),
        pytest.param([1700], (4, 2), [], id="it waits"),
        pytest.param([1700], (4, 1), [(1700, 3)], id="until there is room for all but one"),
        pytest.param([1700], (4, 4), [], id="nothing is free"),
        pytest.param([88, 88, 5, 5], (0,) * 17, [], id="so many are hashed that none more is begun"),
    ],
)
def test_how_files_share_connections(allot, waiting, in_flight, expected):
    assert allot(waiting, in_flight) == expected


def test_the_next_file_starts_while_one_sends_its_last_ranges(allot):
    assert allot([88], (3, 3, 2)) == []
    assert allot([88], (3, 3, 2), ending=[2]) == []
    assert allot([88], (3, 3, 2), ending=[0]) == [(88, 2)]
    assert allot([88], (3, 3, 2), ending=[0, 1]) == [(88, 3)]


def test_of_few_connections_a_large_file_has_its_share_too(allot):
    assert allot([5, 5, 1700], (1, 1), connections=4) == [(1700, 2)]


def test_while_connections_log_in_those_that_are_there_serve(allot):
    assert allot([5] * 20, opened=1) == []
    assert allot([5] * 20, (1, 1), opened=6) == [(5, 1)] * 3
    assert allot([88, 88], opened=6) == [(88, 3)], "the second would keep its two"
    assert allot([1700], opened=8) == [], "it would keep its seven to the end"
    assert allot([1700], opened=9) == [(1700, 8)]


@pytest.mark.parametrize(
    ("size_mib", "connections", "streams"),
    [(63, 16, 1), (88, 16, 3), (1700, 16, 8), (1700, 32, 16), (1700, 4, 8)],
    ids=["below the threshold", "two ranges each", "room for the next", "half of many", "the least of the two is free"],
)
def test_a_file_takes_no_more_connections_than_serve_it(size_mib, connections, streams):
    assert useful_streams(size_mib * MIB, replace(RULES, connections=connections)) == streams
