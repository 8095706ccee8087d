"""Faults that the stand-in hub shows on demand, its rate limit, and its log of what it served."""

import copy
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["drop", "flip", "too_many_requests", "unavailable", "slow", "ignore_range", "expire"]
Route = Literal["api", "resolve", "cdn"]


class Fault(BaseModel):
    """One fault. `times` None is for ever; `path` None is any path; what a kind does not use is ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    path: str | None = None
    times: int | None = 1
    route: Route = "resolve"  # too_many_requests and unavailable: where
    at_byte: int = 0  # drop: nothing from this byte of the file on is sent; flip: this byte is inverted
    seconds: int = 1  # too_many_requests: the pause that is asked for
    header: Literal["RateLimit", "Retry-After"] = "RateLimit"
    bytes_per_second: float = 0.0  # slow: of one connection


class Faults:
    """The faults that are still to be shown; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, kind: Kind, **fields: Any) -> None:
        """Show a fault from now on: the fields are those of `Fault`."""
        with self._lock:
            self._faults.append(Fault(kind=kind, **fields))

    def clear(self) -> None:
        """Show no fault any more."""
        with self._lock:
            self._faults.clear()

    def take(
        self, kind: Kind, path: str, *, route: Route | None = None, span: tuple[int, int] | None = None
    ) -> Fault | None:
        """The first fault that fits, one time of it used up. `span`: bytes [start, stop) that must hold `at_byte`."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.kind != kind or fault.path not in (None, path) or (route and fault.route != route):
                    continue
                if span and not span[0] <= fault.at_byte < span[1]:
                    continue
                if fault.times is not None:
                    left = fault.model_copy(update={"times": fault.times - 1})
                    self._faults[index : index + 1] = [left] if fault.times > 1 else []
                return fault
        return None


class Rate:
    """A rate limit over all connections together: a schedule of bytes, exact over any time longer than the burst."""

    BURST_SECONDS = 0.05

    def __init__(self, bytes_per_second: float) -> None:
        self.bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        """Wait until `count` bytes may go."""
        if self.bytes_per_second <= 0:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - self.BURST_SECONDS) + count / self.bytes_per_second
            wait = self._free_at - now
        if wait > 0:
            time.sleep(wait)


@dataclass
class Served:
    """What the stand-in did so far. `ranges`: (path, start, stop) of every content request, in order of arrival."""

    bytes_by_path: Counter[str] = field(default_factory=Counter)
    resolve_calls: Counter[str] = field(default_factory=Counter)
    api_calls: Counter[str] = field(default_factory=Counter)
    cdn_authorizations: set[str] = field(default_factory=set)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    connections: int = 0

    @property
    def total_bytes(self) -> int:
        """Content bytes that were sent."""
        return sum(self.bytes_by_path.values())

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "bytes_by_path": self.bytes_by_path, "total_bytes": self.total_bytes, "api_calls": self.api_calls,
            "resolve_calls": self.resolve_calls, "cdn_authorizations": sorted(self.cdn_authorizations),
            "ranges": self.ranges, "connections": self.connections,
        }  # fmt: skip


class Log:
    """Counts requests and bytes; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served = Served()

    def count_api(self, route: str) -> None:
        """One call of an API route."""
        with self._lock:
            self._served.api_calls[route] += 1

    def count_resolve(self, path: str) -> None:
        """One HEAD or GET of a resolve address."""
        with self._lock:
            self._served.resolve_calls[path] += 1

    def count_range(self, path: str, start: int, stop: int) -> None:
        """One request for content."""
        with self._lock:
            self._served.ranges.append((path, start, stop))

    def count_connection(self) -> None:
        """One accepted connection, of either port."""
        with self._lock:
            self._served.connections += 1

    def count_bytes(self, path: str, count: int) -> None:
        """Content bytes that left."""
        with self._lock:
            self._served.bytes_by_path[path] += count

    def note_authorization(self, header: str) -> None:
        """An Authorization header that reached the CDN, where none belongs."""
        with self._lock:
            self._served.cdn_authorizations.add(header)

    def served(self) -> Served:
        """A copy of the counters."""
        with self._lock:
            return copy.deepcopy(self._served)

    def reset(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._served = Served()
