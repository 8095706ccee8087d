import sqlite3
import subprocess
import sys
import threading

import pytest

from xperience.common.errors import BadDataError, ConfigurationError, StoppedError, TryAgainError
from xperience.relay import locks
from xperience.relay.ledger import Ledger, State
from xperience.relay.ledger_tables import TABLES
from xperience.relay.plan import Batch, plan_batches
from xperience.selection.model import SelectedFile, Selection


def batches(**sizes: int) -> tuple[Batch, ...]:
    files = tuple(SelectedFile(path, size, path * 32) for path, size in sizes.items())
    return plan_batches(Selection("o/n", "dataset", "0" * 40, files, (), ""), max_bytes=100, max_episodes=9)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger.sqlite")
    made.load(batches(a=1, b=2, c=3))
    yield made
    made.close()


def test_a_state_survives_the_process_and_planning_again(ledger):
    ledger.set("b", State.DOWNLOADED, sha256="x")
    again = Ledger(ledger.path)
    again.load(batches(a=1, b=2, c=3))
    assert again.file("b").state is State.DOWNLOADED
    assert again.file("b").sha256 == "x"
    again.close()


def test_files_come_in_plan_order(tmp_path):
    ledger = Ledger(tmp_path / "other.sqlite")
    ledger.load(batches(a=3, b=1, c=2))
    assert [file.path for file in ledger.files()] == ["b", "c", "a"]
    assert ledger.first(State.PLANNED).path == "b"
    ledger.close()


def test_a_smaller_file_of_the_batch_is_found_for_a_gap(ledger):
    ledger.set("a", State.DOWNLOADED)
    assert ledger.first_fitting(State.PLANNED, 0, 2).path == "b"
    assert ledger.first_fitting(State.PLANNED, 0, 1) is None
    assert ledger.first_fitting(State.PLANNED, 1, 9) is None


def test_scratch_counts_bytes_from_admission_to_release(ledger):
    ledger.set("c", State.DOWNLOADING)
    ledger.set("b", State.VERIFIED)
    assert ledger.scratch_bytes() == 5
    ledger.set("b", State.RELEASED)
    assert ledger.scratch_bytes() == 3


def test_a_file_whose_identity_changed_starts_anew_and_a_deselected_one_goes(ledger):
    ledger.set("b", State.RELEASED)
    ledger.set("c", State.RELEASED)
    ledger.load(batches(a=1, b=7))
    assert [(file.path, file.state) for file in ledger.files()] == [("a", State.PLANNED), ("b", State.PLANNED)]


def test_a_ledger_of_another_store_is_refused(ledger):
    ledger.bind(repository="o/n", store="one")
    with pytest.raises(ConfigurationError, match="another store"):
        ledger.bind(repository="o/n", store="two")


def test_sends_and_downloads_are_counted(ledger):
    for _ in range(3):
        ledger.set("a", State.SENDING)
    assert ledger.file("a").sends == 3


def test_a_truncated_ledger_is_said_to_be_damaged(tmp_path, ledger):
    ledger.close()
    content = ledger.path.read_bytes()
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadDataError, match="Move it away"):
        Ledger(broken)
    ledger._open(False)  # the fixture closes it


def test_a_ledger_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ConfigurationError, match="version 99"):
        Ledger(path)


def test_a_ledger_whose_writer_was_killed_in_a_transaction_can_be_read(tmp_path):
    path = tmp_path / "ledger with space.sqlite"
    made = Ledger(path)
    made.load(batches(a=1, b=2))
    made.close()
    program = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode=TRUNCATE'); db.execute('PRAGMA cache_size=1'); db.execute('BEGIN IMMEDIATE')\n"
        "db.executemany('INSERT INTO job VALUES (?, ?)', [(str(n), 'x' * 900) for n in range(2000)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=False)
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    reader = Ledger(path, read_only=True)
    assert [file.path for file in reader.files()] == ["a", "b"]
    assert reader.job() == {}
    reader.close()


def test_two_connections_write_without_losing_anything(ledger):
    other = Ledger(ledger.path)

    def write(target, path):
        for state in (State.DOWNLOADING, State.DOWNLOADED, State.SENDING, State.SENT) * 5:
            target.set(path, state)

    threads = [threading.Thread(target=write, args=pair) for pair in ((ledger, "a"), (other, "b"), (ledger, "c"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {file.state for file in ledger.files()} == {State.SENT}
    assert {file.sends for file in ledger.files()} == {5}
    other.close()


def test_a_second_holder_of_a_leg_is_told_to_try_again(tmp_path):
    stop = threading.Event()
    with locks.hold_leg(tmp_path, "download", wait_seconds=0, stop=stop):
        assert locks.is_held(tmp_path, "download")
        with (
            pytest.raises(TryAgainError, match="another process holds the download leg"),
            locks.hold_leg(tmp_path, "download", wait_seconds=0.3, stop=stop),
        ):
            pass
        stop.set()
        with pytest.raises(StoppedError), locks.hold_leg(tmp_path, "download", wait_seconds=9, stop=stop):
            pass
    assert not locks.is_held(tmp_path, "download")


def test_both_legs_may_be_held_at_once(tmp_path):
    stop = threading.Event()
    with (
        locks.hold_leg(tmp_path, "download", wait_seconds=0, stop=stop),
        locks.hold_leg(tmp_path, "transfer", wait_seconds=0, stop=stop),
    ):
        assert locks.is_held(tmp_path, "transfer")


def counted_anew(ledger) -> dict:
    db = sqlite3.connect(ledger.path)
    found = db.execute("SELECT state, count(*), sum(size_bytes) FROM file GROUP BY state").fetchall()
    db.close()
    return {State(state): (count, size) for state, count, size in found}


def test_the_kept_totals_are_those_that_counting_gives(ledger):
    def check():
        assert {state: pair for state, pair in ledger.totals().items() if pair[0]} == counted_anew(ledger)

    check()
    for path, state in (("a", State.DOWNLOADING), ("b", State.SENT), ("a", State.DOWNLOADED), ("a", State.DOWNLOADED)):
        ledger.set(path, state)
        check()
    ledger.load(batches(a=1, b=7, d=5))  # b has another size, c is gone, d is new
    check()
    with pytest.raises(BadDataError):
        ledger.set("nobody", State.SENT)
    check()


def test_a_ledger_of_the_first_schema_is_brought_to_this_one_with_its_states(tmp_path):
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.executescript(f"{TABLES}; PRAGMA user_version=1;")
    db.executemany(
        "INSERT INTO file (path, position, batch, size_bytes, state) VALUES (?, ?, 0, ?, ?)",
        [("a", 0, 5, "verified"), ("b", 1, 7, "planned"), ("c", 2, 9, "verified")],
    )
    db.commit()
    db.close()
    with pytest.raises(ConfigurationError, match="version 1"):  # who only reads changes nothing
        Ledger(path, read_only=True)
    ledger = Ledger(path)
    assert ledger.totals()[State.VERIFIED] == (2, 14)
    ledger.set("b", State.DOWNLOADING)
    assert ledger.scratch_bytes() == 21
    ledger.close()
    assert Ledger(path, read_only=True).file("a").state is State.VERIFIED


def test_batch_times_are_known_once_the_whole_batch_has_ended(ledger):
    for path in ("a", "b"):
        ledger.set(path, State.DOWNLOADING)
        ledger.set(path, State.DOWNLOADED)
        ledger.set(path, State.VERIFIED)
    (batch,) = ledger.batches()
    assert (batch.files, batch.size_bytes, batch.arrived_files) == (3, 6, 2)
    assert batch.download_started_at is not None
    assert batch.downloaded_at is None
    ledger.set("c", State.DOWNLOADED)
    ledger.set("c", State.VERIFIED)
    (batch,) = ledger.batches()
    assert batch.downloaded_at is not None
    assert batch.arrived_files == 3
