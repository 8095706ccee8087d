"""What people see: tables, and a run's progress."""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from xperience.common.sizes import human_bytes, human_rate, human_seconds
from xperience.relay.ledger import ARRIVED
from xperience.relay.run import Snapshot

LINE_EVERY_SECONDS = 10.0

# No markup: a name may have brackets. Not a terminal: as wide as the text, so that a pipe sees whole lines.
out = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)


def terminate_with(message: str) -> None:
    """Leave one line as the termination message of a pod's container, where this is one."""
    place = Path(os.environ.get("XPERIENCE_TERMINATION_LOG", "/dev/termination-log"))
    if place.is_file():
        place.write_text(f"{message}\n")


def print_json(document: Any) -> None:
    """JSON on stdout."""
    print(json.dumps(document, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table on stdout; numbers go to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    listed = [list(row) for row in rows]
    for number, column in enumerate(columns):
        right = all(isinstance(row[number], int | float) for row in listed) and bool(listed)
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in listed:
        table.add_row(*(str(cell) for cell in row))
    out.print(table)


class ProgressView:
    """Progress of a run on stderr: live on a terminal, else one line every ten seconds."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4) if sys.stderr.isatty() else None
        self._printed = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, now: Snapshot) -> None:
        """Take the newest state."""
        if self._live:
            self._live.update(_picture(now))
        elif time.monotonic() - self._printed >= LINE_EVERY_SECONDS:
            self._printed = time.monotonic()
            print(_line(now), file=sys.stderr, flush=True)


def _eta(now: Snapshot) -> str:
    return human_seconds(now.eta_seconds) if now.eta_seconds is not None else "-"


def _line(now: Snapshot) -> str:
    arrived = sum(now.files[state][0] for state in ARRIVED)
    share = now.arrived_bytes / now.size_bytes if now.size_bytes else 1.0
    return (
        f"relay {share:.1%} {arrived}/{sum(count for count, _ in now.files.values())} files"
        f" · download {human_rate(now.download_rate)} ({now.downloading} files)"
        f" · transfer {human_rate(now.transfer_rate)} ({now.transferring} files)"
        f" · scratch {human_bytes(now.scratch_bytes)} of {human_bytes(now.budget_bytes)} · left {_eta(now)}"
    )


def _picture(now: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("leg", "done", "", "rate", "files in flight"):
        table.add_column(column)
    downloaded = now.size_bytes - sum(now.files[state][1] for state in list(now.files)[:2])
    for leg, done, rate, in_flight in (
        ("download", downloaded, now.download_rate, now.downloading),
        ("transfer", now.arrived_bytes, now.transfer_rate, now.transferring),
    ):
        bar = ProgressBar(total=max(1, now.size_bytes), completed=done, width=32)
        table.add_row(leg, human_bytes(done), bar, human_rate(rate), str(in_flight))
    bar = ProgressBar(total=max(1, now.budget_bytes), completed=now.scratch_bytes, width=32)
    table.add_row("scratch", human_bytes(now.scratch_bytes), bar, f"of {human_bytes(now.budget_bytes)}", "")
    table.caption = f"left {_eta(now)}"
    return table
