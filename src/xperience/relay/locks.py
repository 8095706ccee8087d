"""One writer per leg: a lock held for the life of a process, gone with it whatever ends it."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xperience.common.errors import StoppedError, TryAgainError


@contextmanager
def hold_leg(root: Path, leg: str, *, wait_seconds: float, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of a leg; wait for another holder (a pod that is being ended), then TryAgainError (75)."""
    root.mkdir(parents=True, exist_ok=True)
    path = _lock_file(root, leg)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise TryAgainError(
                    f"another process holds the {leg} leg", where=str(path),
                    why=f"process {_holder(path)} for longer than {wait_seconds:.0f} s",
                    fix="Let it finish or stop it; the run goes on from the ledger.",
                )  # fmt: skip
            if stop.wait(0.2):
                raise StoppedError(f"stopped while waiting for the {leg} leg", where=str(path))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(root: Path, leg: str) -> bool:
    """Whether some process holds this leg now."""
    path = _lock_file(root, leg)
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(root: Path, leg: str) -> Path:
    return root / f"{leg}.lock"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    return path.read_text().strip() or "unknown"
