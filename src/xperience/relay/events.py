"""Events as JSON lines, fsynced: the run's history beside the ledger, and the same events in the log."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from xperience.common.log import get_log


class Events:
    """Append-only; a line is on disk when `add` returns. Two processes may append to one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        self._log = get_log()

    def add(self, event: str, **fields: str | float | bool | None) -> None:
        """Write one event; None fields are left out."""
        kept = {name: value for name, value in fields.items() if value is not None}
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **kept})
        with self._lock:
            os.write(self._descriptor, line.encode() + b"\n")
            os.fdatasync(self._descriptor)
        self._log.info(event, **kept)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
