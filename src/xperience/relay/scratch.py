"""Scratch: where a file lies on the relay's disk, how much may lie there, and what does not belong."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xperience.common.errors import NoSpaceError
from xperience.common.sizes import human_bytes
from xperience.relay.ledger import ON_SCRATCH, Ledger, LedgerFile, State

PARTIAL_SUFFIXES = (".part", ".ranges")


@dataclass(frozen=True, slots=True)
class Scratch:
    """The relay's folder: `data/<path>` are files in flight, beside them ledger, events, summary."""

    root: Path

    @property
    def data(self) -> Path:
        """Files in flight, under the same paths as in the repository."""
        return self.root / "data"

    @property
    def ledger(self) -> Path:
        """SQLite file."""
        return self.root / "relay_ledger.sqlite"

    def path_of(self, path: str) -> Path:
        """Where a repository's file lies."""
        return self.data / path

    def free_bytes(self) -> int:
        """Free bytes of the volume, as this user sees them."""
        place = self.root
        while not place.exists():
            place = place.parent
        stat = os.statvfs(place)
        return stat.f_bavail * stat.f_frsize

    def used_bytes(self) -> int:
        """Bytes allocated under `data`."""
        return sum(map(_allocated_bytes, self._files()))

    def _files(self) -> Iterator[Path]:
        """Files under `data`; a folder that another process's transfer leg removes meanwhile has none."""
        for folder, _, names in os.walk(self.data):
            yield from (Path(folder, name) for name in names)

    def budget_bytes(self, configured_bytes: int, headroom_bytes: int) -> int:
        """min(configured, what is free or ours already − headroom); NoSpaceError where nothing is left."""
        budget = min(configured_bytes, self.free_bytes() + self.used_bytes() - headroom_bytes)
        if budget <= 0:
            raise NoSpaceError(
                "scratch is full", where=str(self.root),
                why=f"{human_bytes(self.free_bytes())} free, headroom is {human_bytes(headroom_bytes)}",
                fix="Free space there, lower --headroom-gib, or use another --relay-root.",
            )  # fmt: skip
        return budget

    def release(self, path: str) -> None:
        """Delete a file's copy and folders that became empty; repeatable."""
        place = self.path_of(path)
        place.unlink(missing_ok=True)
        self._prune(place.parent)

    def _prune(self, folder: Path) -> None:
        while folder != self.data and folder.is_relative_to(self.data):
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or gone already
            folder = folder.parent

    def sweep(self, ledger: Ledger, budget_bytes: int) -> tuple[int, int]:
        """Adopt or delete what an earlier run left: (files deleted, bytes freed).

        Whole copies that the ledger counts stay. What lies there of a file still to come stays as far as the budget
        holds it (the download leg goes on from it, or hashes it before it counts). All else goes.
        """
        expected: set[Path] = set()
        left_bytes = budget_bytes - ledger.scratch_bytes()
        for row in ledger.files():
            place = self.path_of(row.path)
            if row.state in ON_SCRATCH:
                expected.add(place)
            elif row.state is State.PLANNED:
                begun = [place, *(place.with_name(place.name + suffix) for suffix in PARTIAL_SUFFIXES)]
                if any(file.exists() for file in begun) and row.size_bytes <= left_bytes:
                    left_bytes -= row.size_bytes
                    expected.update(begun)
        orphans = [place for place in self._files() if place not in expected]
        freed_bytes = sum(map(_allocated_bytes, orphans))
        for place in orphans:
            place.unlink(missing_ok=True)
            self._prune(place.parent)
        return len(orphans), freed_bytes


def _allocated_bytes(file: Path) -> int:
    """0 where the file was released meanwhile."""
    try:
        return file.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


class Budget:
    """Admission to scratch: bytes reserved in the ledger against the budget, and the volume's headroom."""

    def __init__(self, scratch: Scratch, ledger: Ledger, budget_bytes: int, headroom_bytes: int) -> None:
        self.scratch, self.ledger = scratch, ledger
        self.budget_bytes, self.headroom_bytes = budget_bytes, headroom_bytes
        self.peak_bytes = ledger.scratch_bytes()
        self._lock = threading.Lock()

    def room_bytes(self) -> int:
        """What the budget still holds."""
        return self.budget_bytes - self.ledger.scratch_bytes()

    def admit(self, file: LedgerFile) -> bool:
        """Reserve a file's bytes (its state becomes downloading) if they fit now."""
        with self._lock:
            reserved = self.ledger.scratch_bytes()
            if reserved + file.size_bytes > self.budget_bytes:
                return False
            missing = file.size_bytes - self._present_bytes(file)
            if self.scratch.free_bytes() - missing < self.headroom_bytes:
                if reserved == 0:
                    raise NoSpaceError(
                        "scratch has no room for one file", where=file.path,
                        why=f"{human_bytes(self.scratch.free_bytes())} free, {human_bytes(file.size_bytes)} and a "
                        f"headroom of {human_bytes(self.headroom_bytes)} needed",
                        fix="Something else fills the volume: free space there.",
                    )  # fmt: skip
                return False
            self.ledger.set(file.path, State.DOWNLOADING)
            self.peak_bytes = max(self.peak_bytes, reserved + file.size_bytes)
            return True

    def _present_bytes(self, file: LedgerFile) -> int:
        place = self.scratch.path_of(file.path)
        for candidate in (place, place.with_name(place.name + ".part")):
            if candidate.exists():
                return candidate.stat().st_blocks * 512
        return 0
