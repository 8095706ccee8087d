"""A ledger that was damaged, or cannot be written: the right message, and no scratch copy goes that is not verified."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xperience.relay.ledger import Ledger

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from full_volume import run_on_tmpfs

LEDGER = "relay_ledger.sqlite"


def on_scratch(job) -> dict[str, int]:
    data = job.scratch / "data"
    return {str(path.relative_to(data)): path.stat().st_size for path in data.rglob("*") if path.is_file()}


def damaged_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damaged_by_zeros(content: bytes) -> bytes:
    return content[:4096] + bytes(4096) + content[8192:]


@pytest.fixture
def prefetched(job):
    """Everything downloaded, nothing sent."""
    job.run("--legs", "download")
    assert len(on_scratch(job)) == 12
    return job


@pytest.mark.parametrize("damage", [damaged_in_half, damaged_by_zeros])
def test_a_damaged_ledger_ends_with_65_keeps_scratch_and_is_rebuilt_without_a_second_download(prefetched, damage):
    job, place, before = prefetched, prefetched.scratch / LEDGER, on_scratch(prefetched)
    place.write_bytes(damage(place.read_bytes()))
    done = job.run(expect=65)
    assert "ledger is damaged" in done.stderr
    assert "Move it away" in done.stderr
    assert on_scratch(job) == before
    assert job.destination.content() == {}
    place.rename(job.folder / "moved")
    served = job.hub.log.served().total_bytes
    job.run()
    job.check_whole()
    assert job.hub.log.served().total_bytes == served


def test_a_ledger_that_calls_everything_sent_releases_no_copy_that_the_store_lacks(prefetched):
    job = prefetched
    ledger = Ledger(job.scratch / LEDGER)
    with ledger._transaction() as db:
        db.execute("UPDATE file SET state = 'sent'")
    ledger.close()
    job.run()  # the store is asked for each hash, has none, and every file is sent after all
    job.check_whole()


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("unshare") is None, reason="mounts need root and unshare")
def test_a_read_only_scratch_is_said_and_nothing_goes(prefetched):
    job, before = prefetched, on_scratch(prefetched)
    mount = (
        f"mount --make-rprivate / && mount --bind {job.scratch} {job.scratch}"
        f' && mount -o remount,bind,ro {job.scratch} && exec "$@"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "sh", *job.command()], env=job.environment, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "read-only" in done.stderr.lower()
    assert on_scratch(job) == before
    job.run()
    job.check_whole()


FULL = """
import sys
from pathlib import Path
from xperience.common.errors import NoSpaceError
from xperience.relay.ledger import Ledger, State
from xperience.relay.plan import Batch
from xperience.selection.model import SelectedFile

def plan(count):
    files = tuple(SelectedFile(f"f{number:05}", 1, "0" * 64) for number in range(count))
    return (Batch(0, (), files, count),)

folder = Path(sys.argv[1])
ledger = Ledger(folder / "ledger.sqlite")
ledger.load(plan(3))
try:
    ledger.load(plan(20_000))
except NoSpaceError as error:
    print(error)
assert len(ledger.files()) == 3
ledger.set("f00001", State.DOWNLOADING)
print(ledger.scratch_bytes())
"""


def test_a_full_scratch_is_said_to_be_full_and_the_ledger_goes_on(tmp_path):
    """SQLite itself rolls back what finds no room."""
    done = run_on_tmpfs(tmp_path, 1 << 20, [sys.executable, "-c", FULL, tmp_path], timeout=60)
    assert done.returncode == 0, done.stderr
    said, scratch_bytes = done.stdout.splitlines()
    assert said.startswith("ledger cannot be written")
    assert scratch_bytes == "1"
