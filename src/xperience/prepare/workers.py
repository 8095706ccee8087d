"""Hand files to workers, serve the bytes that they ask for, and take their death for an answer."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from xperience.common.errors import ConfigurationError
from xperience.episode.ranged import RangeSource
from xperience.prepare.facts import AnnotationFacts, Texts, VideoFacts
from xperience.prepare.orders import Answer, Ask, Ended, Order, receive

# The kernel ends a worker that is over its time; this much later we no longer wait for the news.
GRACE_SECONDS = 10.0
Kind = Literal["annotation", "texts", "video"]
SILENT = "the worker ended without a word"
# The token and the store's keys stay out of a process that opens strangers' files.
KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """What came of a file: facts, or why there are none; peak memory and bytes read of its worker (0: not known)."""

    annotation: AnnotationFacts | None = None
    video: VideoFacts | None = None
    fault: str = ""
    peak_bytes: int = 0
    texts: Texts | None = None
    read_bytes: int = 0


class Workers:
    """A process that forks workers; `look` may be called from any thread."""

    def __init__(self, *, timeout_seconds: float, memory_bytes: int) -> None:
        self._timeout_seconds, self._memory_bytes = timeout_seconds, memory_bytes
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        # More threads than one would map memory that the limit counts.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        # -P: modules that lie in the current folder, maybe a data root, are not ours.
        command = [sys.executable, "-P", "-m", "xperience.prepare.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._control.close()
        self._process.wait()

    def look_at_file(self, kind: Kind, path: Path) -> Look:
        """A local file, whole: all rows of the motion, all packets of a video."""
        order = Order(kind=kind, path=str(path), timeout_seconds=self._timeout_seconds, memory_bytes=self._memory_bytes)
        return self._look(order, None, lambda _name: None)

    def look_at_ranges(self, kind: Kind, source: RangeSource, sibling: Callable[[str], bytes | None]) -> Look:
        """A file that is elsewhere, by as few bytes as will do; what `source` raises is raised here."""
        order = Order(
            kind=kind, size_bytes=source.size_bytes, sampled=True, timeout_seconds=self._timeout_seconds,
            memory_bytes=self._memory_bytes,
        )  # fmt: skip
        return self._look(order, source, sibling)

    def _look(self, order: Order, source: RangeSource | None, sibling: Callable[[str], bytes | None]) -> Look:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                with self._lock:
                    socket.send_fds(self._control, [b"x"], [theirs.fileno()])
            except OSError as error:
                raise self._gone() from error
            theirs.close()
            with Connection(os.dup(ours.fileno())) as connection:
                found = self._converse(connection, order, source, sibling)
        if found.fault == SILENT and self._has_ended():
            raise self._gone()
        return found

    def _has_ended(self) -> bool:
        """Whether the process that forks is gone; its end may be a moment away."""
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _gone(self) -> ConfigurationError:
        """No file's fault."""
        return ConfigurationError(
            "the process that opens files has ended", why=f"exit code {self._process.poll()}",
            fix="Does it have the memory that it needs? See docs/prepare.md.",
        )  # fmt: skip

    def _converse(
        self, connection: Connection, order: Order, source: RangeSource | None,
        sibling: Callable[[str], bytes | None],
    ) -> Look:  # fmt: skip
        answer = Answer(fault=SILENT)
        deadline = time.monotonic() + order.timeout_seconds + GRACE_SECONDS
        try:
            send_all(connection, [order.model_dump_json().encode()])
            while connection.poll(max(deadline - time.monotonic(), 0)):
                message = next_message(connection)
                if isinstance(message, Ended):
                    return look_of(answer, message, order)
                if isinstance(message, Answer):
                    answer = message
                    continue
                asked = time.monotonic()
                contents = contents_for(message, source, sibling)
                deadline += time.monotonic() - asked
                send_all(connection, contents)
        except BrokenConversationError as error:
            return Look(fault=str(error))
        return Look(fault=f"no answer after {order.timeout_seconds:g} s")


class BrokenConversationError(Exception):
    """A worker that does not talk as it should; what the source of its bytes raises is something else."""


def next_message(connection: Connection) -> Ask | Answer | Ended:
    """What the worker or its keeper says next."""
    try:
        return receive(connection)
    except ValueError as error:
        raise BrokenConversationError(f"the worker answers nonsense: {str(error)[:100]}") from error
    except (EOFError, OSError) as error:
        raise BrokenConversationError(SILENT) from error


def send_all(connection: Connection, contents: list[bytes]) -> None:
    """To the worker."""
    try:
        for content in contents:
            connection.send_bytes(content)
    except OSError as error:
        raise BrokenConversationError(SILENT) from error


def contents_for(message: Ask, source: RangeSource | None, sibling: Callable[[str], bytes | None]) -> list[bytes]:
    """The bytes that a worker asks for."""
    if message.sibling is not None:
        return [sibling(message.sibling) or b""]
    ranges = message.ranges or ()
    if source is None or not all(0 <= start < stop <= source.size_bytes for start, stop in ranges):
        raise BrokenConversationError("the worker asks for bytes outside of the file")
    return source.read_ranges(ranges)


def look_of(answer: Answer, end: Ended, order: Order) -> Look:
    """The answer of a worker that ended well, else how it died."""
    if end.ended == 0:
        return Look(answer.annotation, answer.video, answer.fault, end.peak_bytes, answer.texts, answer.read_bytes)
    if end.ended == -signal.SIGALRM:
        return Look(fault=f"it takes more than {order.timeout_seconds:g} s to read", peak_bytes=end.peak_bytes)
    name = signal.Signals(-end.ended).name if end.ended < 0 else f"exit code {end.ended}"
    return Look(fault=f"the worker that read it died of {name}", peak_bytes=end.peak_bytes)
