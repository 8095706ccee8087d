"""What a run has moved so far: counters per leg, rates, time left; what progress, metrics and summary say."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import Counter as MetricCounter
from prometheus_client import Gauge

from xperience.common.metrics import REGISTRY

RATE_WINDOW_SECONDS = 20.0

BYTES = MetricCounter("xperience_relay_bytes", "Bytes moved.", ["leg"], registry=REGISTRY)
BUSY = MetricCounter("xperience_relay_leg_busy_seconds", "Seconds with work in a leg.", ["leg"], registry=REGISTRY)
RETRIES = MetricCounter("xperience_relay_retries", "Tries that were repeated.", ["leg", "reason"], registry=REGISTRY)
MISMATCHES = MetricCounter("xperience_relay_hash_mismatch", "Files whose hash was not the hub's.", registry=REGISTRY)
FILES = Gauge("xperience_relay_files", "Files by state.", ["state"], registry=REGISTRY)
SCRATCH = Gauge(
    "xperience_relay_scratch_bytes", "Scratch: reserved, budget, free, headroom.", ["kind"], registry=REGISTRY
)
ETA = Gauge("xperience_relay_eta_seconds", "Time left at the rate of now; NaN until one is known.", registry=REGISTRY)
IN_WORK = Gauge("xperience_relay_files_in_work", "Files that a leg works on now.", ["leg"], registry=REGISTRY)
LAST = Gauge(
    "xperience_relay_last_progress_timestamp_seconds",
    "Unix time of a leg's last byte (verify: file), or of when it took up work.",
    ["leg"],
    registry=REGISTRY,
)
DEADLINE = Gauge(
    "xperience_relay_deadline_timestamp_seconds",
    "Unix time at which the time of --deadline-seconds is over; NaN without one.",
    registry=REGISTRY,
)
ETA.set(math.nan)
DEADLINE.set(math.nan)


@dataclass
class Leg:
    """Counters of one leg; `moved_bytes` counts the wire, repeats included (verify: bytes that the store hashed)."""

    name: str
    moved_bytes: int = 0
    busy_seconds: float = 0.0
    retries: Counter[str] = field(default_factory=Counter)
    active: int = 0
    _since: float = 0.0
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Every series is there from the first scrape on, so that a rate sees the first bytes."""
        BYTES.labels(self.name)
        BUSY.labels(self.name)
        LAST.labels(self.name).set_to_current_time()

    def add(self, count: int) -> None:
        """Count bytes."""
        with self._lock:
            self.moved_bytes += count
        BYTES.labels(self.name).inc(count)
        LAST.labels(self.name).set_to_current_time()

    def retry(self, reason: str) -> None:
        """Count a repeated try."""
        with self._lock:
            self.retries[reason] += 1
        RETRIES.labels(self.name, reason).inc()

    def enter(self) -> None:
        """One more file in work; the leg is busy while there is at least one."""
        with self._lock:
            if self.active == 0:
                self._since = time.monotonic()
                LAST.labels(self.name).set_to_current_time()
            self.active += 1

    def leave(self) -> None:
        """One file less in work."""
        with self._lock:
            self._count_busy()
            self.active -= 1

    def note_busy(self) -> None:
        """Count the busy time up to now, so that a scrape sees it while the leg works."""
        with self._lock:
            self._count_busy()

    def _count_busy(self) -> None:
        if self.active:
            now = time.monotonic()
            spent, self._since = now - self._since, now
            self.busy_seconds += spent
            BUSY.labels(self.name).inc(spent)

    @contextmanager
    def working(self) -> Iterator[None]:
        """`enter` and `leave` around a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def rate(self) -> float:
        """Bytes per second over the last window; call it regularly."""
        now = time.monotonic()
        with self._lock:
            self._samples.append((now, self.moved_bytes))
            while len(self._samples) > 2 and now - self._samples[0][0] > RATE_WINDOW_SECONDS:
                self._samples.popleft()
            (then, before), (_, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - then) if now > then else 0.0


class Progress:
    """The legs of this process. A file that the store hashes is in work in `verify` and in `transfer`."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.download = Leg("download")
        self.transfer = Leg("transfer")
        self.verify = Leg("verify")
        self.mismatches = 0
        IN_WORK.labels("download").set_function(lambda: self.download.active)
        # Those that wait for the store's hash send nothing, and that is no stall.
        IN_WORK.labels("transfer").set_function(lambda: max(0, self.transfer.active - self.verify.active))
        IN_WORK.labels("verify").set_function(lambda: self.verify.active)

    @property
    def wall_seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.started

    def mismatch(self) -> None:
        """A hash was not the hub's."""
        self.mismatches += 1
        MISMATCHES.inc()

    def note_deadline(self, seconds: float) -> None:
        """Note that the job ends that long after now; 0 is never."""
        DEADLINE.set(time.time() + seconds if seconds else math.nan)

    def note_scratch(self, *, reserved_bytes: int, budget_bytes: int, free_bytes: int, headroom_bytes: int) -> None:
        """Note the use of scratch."""
        SCRATCH.labels("reserved").set(reserved_bytes)
        SCRATCH.labels("budget").set(budget_bytes)
        SCRATCH.labels("free").set(free_bytes)
        SCRATCH.labels("headroom").set(headroom_bytes)
