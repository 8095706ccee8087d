import random
import shutil
import sqlite3

import pytest

from xperience.common.errors import BadDataError, XperienceError
from xperience.relay.ledger import Ledger, State
from xperience.relay.plan import plan_batches
from xperience.selection.model import SelectedFile, Selection


@pytest.fixture
def sound(tmp_path):
    """A ledger in the middle of a job, closed, and what it says."""
    files = tuple(SelectedFile(f"s{n}/ep1/file{n}", 1000 + n, f"{n:064x}") for n in range(40))
    ledger = Ledger(tmp_path / "sound.sqlite")
    ledger.bind(repository="o/n", revision="0" * 40, store="ssh://u@h/d")
    ledger.load(plan_batches(Selection("o/n", "dataset", "0" * 40, files, (), ""), max_bytes=9000, max_episodes=9))
    for file, state in zip(files, list(State) * 6, strict=False):
        ledger.set(file.path, state, sha256=file.sha256)
    said = [(file.path, file.state, file.size_bytes) for file in ledger.files()]
    ledger.close()
    return ledger.path, said


def read_and_write(path):
    """All that a run does with a ledger; its files."""
    ledger = Ledger(path)
    try:
        ledger.job()
        ledger.totals()
        ledger.batches()
        files = ledger.files()
        ledger.first(State.PLANNED)
        for file in files[:3]:
            ledger.set(file.path, State.DOWNLOADING)
        return [(file.path, file.state, file.size_bytes) for file in files]
    finally:
        ledger.close()


def is_said_or_harmless(path, said):
    """Whether the damage was said; else states and sizes are as they were.

    Path and place in the order may have changed: planning drops a file that is not selected, and gives places anew.
    """
    try:
        found = read_and_write(path)
    except XperienceError as error:
        assert str(path) in str(error) or "not in the ledger" in str(error)
        return True
    assert sorted(row[1:] for row in found) == sorted(row[1:] for row in said)
    return False


def test_a_flipped_bit_is_said_or_changes_neither_states_nor_sizes(sound, tmp_path):
    path, said = sound
    content = path.read_bytes()
    broken = tmp_path / "broken.sqlite"
    drawn, found = random.Random(11), 0
    for _ in range(400):
        place, bit = drawn.randrange(len(content)), 1 << drawn.randrange(8)
        broken.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        found += is_said_or_harmless(broken, said)
    assert found > 20


def test_a_truncated_ledger_is_said_or_nothing_is_lost(sound, tmp_path):
    path, said = sound
    broken, found = tmp_path / "broken.sqlite", 0
    for length in range(512, path.stat().st_size, 1024):
        broken.write_bytes(path.read_bytes()[:length])
        found += is_said_or_harmless(broken, said)
    assert found > 10


def test_totals_that_are_not_those_of_the_files_are_damage(sound, tmp_path):
    path, _ = sound
    broken = tmp_path / "broken.sqlite"
    shutil.copyfile(path, broken)
    db = sqlite3.connect(broken)
    db.execute("UPDATE total SET files = files + 1 WHERE state = 'planned'")
    db.commit()
    db.close()
    for read_only in (True, False):
        with pytest.raises(BadDataError, match="totals"):
            Ledger(broken, read_only=read_only)
