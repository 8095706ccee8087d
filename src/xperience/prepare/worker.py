"""The process that opens files which nobody vouches for: libhdf5 and libav may crash, hang or swell in it.

`python -m xperience.prepare.worker FD` loads the libraries once and forks twice for each socket that it is handed: a
worker, under limits of memory and time, and its keeper, who says how it ended. Secrets are not in its environment and
it has no reason to use the network.
"""

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from xperience.common.errors import BadDataError
from xperience.episode.annotation import Annotation
from xperience.episode.caption_file import local_sibling
from xperience.episode.ranged import Range, RangedFile
from xperience.episode.video import read_content, read_header
from xperience.prepare.facts import video_facts
from xperience.prepare.look import Around, look_at_annotation, look_at_texts
from xperience.prepare.orders import FIRST_BYTES, MOST_SIBLING_BYTES, Answer, Ask, Ended, Order, send


class _Clock:
    """Time that the worker itself takes; the kernel ends it when that is over, whatever a library does."""

    def __init__(self, seconds: float) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def __enter__(self) -> None:
        """Waiting for the other end does not count."""
        self._left = signal.setitimer(signal.ITIMER_REAL, 0)[0]

    def __exit__(self, *_exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(self._left, 0.001))


class _OtherEnd:
    """A file's bytes, asked for at the other end of the socket."""

    def __init__(self, connection: Connection, size_bytes: int, clock: _Clock) -> None:
        self._connection, self.size_bytes, self._clock = connection, size_bytes, clock

    def read_ranges(self, ranges: Sequence[Range]) -> list[bytes]:
        """One question, one answer per range."""
        with self._clock:
            send(self._connection, Ask(ranges=tuple(ranges)))
            return [self._connection.recv_bytes(stop - start) for start, stop in ranges]

    def sibling(self, name: str) -> bytes | None:
        """The content of a file beside this one; an empty answer is none."""
        with self._clock:
            send(self._connection, Ask(sibling=name))
            return self._connection.recv_bytes(MOST_SIBLING_BYTES) or None


def look(order: Order, connection: Connection, clock: _Clock) -> Answer:
    """Carry out an order; raises what the libraries raise."""
    if order.path is None:
        other_end = _OtherEnd(connection, order.size_bytes, clock)
        file = RangedFile(other_end)
        file.plan([(0, FIRST_BYTES[order.kind])])
        if order.kind == "video":
            return Answer(video=video_facts(read_header(file)))
        around = Around(other_end.sibling, file, order.sampled)
        with Annotation.open(file) as annotation:
            return _look_inside(order, annotation, around)
    path = Path(order.path)
    if order.kind == "video":
        return Answer(video=video_facts(*read_content(path)))
    with Annotation.open(path) as annotation:
        around = Around(lambda name: local_sibling(path.parent, name), sampled=order.sampled)
        return _look_inside(order, annotation, around)


def _look_inside(order: Order, annotation: Annotation, around: Around) -> Answer:
    if order.kind == "texts":
        return Answer(texts=look_at_texts(annotation, around))
    return Answer(annotation=look_at_annotation(annotation, around))


def limit(order: Order) -> None:
    """`memory_bytes` more than is mapped now, no files written, no core."""
    mapped_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for name, most in (
        (resource.RLIMIT_AS, mapped_bytes + order.memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(name, (most, most))


def _work(descriptor: int) -> None:
    connection = Connection(descriptor)
    order = Order.model_validate_json(connection.recv_bytes())
    limit(order)
    clock = _Clock(order.timeout_seconds)
    before = _read_bytes()
    try:
        answer = look(order, connection, clock)
    except MemoryError:
        answer = Answer(fault=f"it needs more than {order.memory_bytes >> 20} MiB of memory")
    except BadDataError as error:
        answer = Answer(fault=str(error))
    except Exception as error:
        answer = Answer(fault=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    send(connection, answer.model_copy(update={"read_bytes": _read_bytes() - before}))


def _read_bytes() -> int:
    """What this process has read so far, files in the page cache included; 0 where the kernel does not say."""
    try:
        return int(Path("/proc/self/io").read_text().split()[1])
    except OSError:
        return 0


def _keep(descriptor: int) -> None:
    """Fork the worker, wait for it, say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        # What a library prints of a broken file is no message of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            _work(descriptor)
        finally:
            os._exit(0)
    _, status, usage = os.wait4(pid, 0)
    ended = Ended(ended=os.waitstatus_to_exitcode(status), peak_bytes=usage.ru_maxrss * 1024)
    send(Connection(descriptor), ended)


def main() -> None:
    """Fork for each socket that comes over the control socket, until its other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            try:
                _keep(descriptors[0])
            except (OSError, json.JSONDecodeError):
                pass  # nobody waits for it any more
            finally:
                os._exit(0)
        os.close(descriptors[0])


if __name__ == "__main__":
    main()
