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
    connections=8, logins_at_once=8, range_bytes=16 * MIB, threshold_bytes=64 * MIB, chunked=True, retries=0,
    delete=True, alone_wait_seconds=None,
)  # fmt: skip


@pytest.fixture
def allot(tmp_path):
    """Connections of the files that start now: sizes of those that wait, streams of those in flight."""
    ledgers = []

    def made(waiting_mib, in_flight=(), logged_in=None, **rules):
        ledger = Ledger(tmp_path / f"{len(ledgers)}.sqlite")
        ledgers.append(ledger)
        files = tuple(SelectedFile(f"f{n}", size * MIB, "0" * 64) for n, size in enumerate(waiting_mib))
        ledger.load((Batch(0, (), files, sum(file.size_bytes for file in files)),))
        for file in files:
            ledger.set(file.path, State.DOWNLOADED)
        leg = TransferLeg(
            ledger, Scratch(tmp_path), None, Events(tmp_path / "events"), Progress(), replace(RULES, **rules),
            stop=threading.Event(), on_released=lambda: None, login_seconds=0.0,
        )  # fmt: skip
        leg._streams = {f"flying{n}": streams for n, streams in enumerate(in_flight)}
        leg._logged_in = sum(in_flight) if logged_in is None else logged_in
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


@pytest.mark.parametrize(
    ("logins_at_once", "logged_in", "started"),
    [(8, 0, 6), (8, 2, 8), (8, 16, 14), (None, 0, 14)],
    ids=["two log in", "two have", "all have", "nobody has to"],
)
def test_no_more_connections_than_may_log_in_at_a_time_are_opened(allot, logins_at_once, logged_in, started):
    found = allot([5] * 20, (1, 1), logged_in, connections=16, logins_at_once=logins_at_once)
    assert len(found) == started


@pytest.mark.parametrize(
    ("size_mib", "connections", "streams"),
    [(63, 16, 1), (88, 16, 3), (1700, 16, 8), (1700, 32, 16), (1700, 4, 8)],
    ids=["below the threshold", "two ranges each", "room for the next", "half of many", "the least of the two is free"],
)
def test_a_file_takes_no_more_connections_than_serve_it(size_mib, connections, streams):
    assert useful_streams(size_mib * MIB, replace(RULES, connections=connections)) == streams
