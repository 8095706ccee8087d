"""A share of the hub's rate limit, counted as the hub counts: so many calls in any five minutes."""

import threading
import time
from collections import deque

WINDOW_SECONDS = 300.0


class Pace:
    """At most `calls` in any five minutes; thread-safe."""

    def __init__(self, calls: int) -> None:
        self._made: deque[float] = deque(maxlen=calls)
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take the next call; returns the seconds to wait before it is made."""
        with self._lock:
            now = at = time.monotonic()
            if len(self._made) == self._made.maxlen:
                at = max(now, self._made[0] + WINDOW_SECONDS)
            self._made.append(at)
            return at - now
