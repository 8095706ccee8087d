"""A long way on loopback: what goes to a port arrives later, and so does what comes back."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from xperience.standin.servers import free_port


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        data = b"x"
        while data:
            due, data = await on_the_way.get()
            await asyncio.sleep(due - loop.time())
            writer.write(data)
        writer.close()

    arriving = loop.create_task(arrive())
    data = b"x"
    while data:
        data = await reader.read(1 << 16)
        on_the_way.put_nowait((loop.time() + seconds, data))
    await arriving


@contextmanager
def long_way(port: int, seconds: float) -> Iterator[int]:
    """A port of loopback from which `port` is `seconds` away, and as many back."""
    way = free_port()
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(_carry(reader, back, seconds), _carry(there, writer, seconds))

    async def serve() -> None:
        await asyncio.start_server(meet, "127.0.0.1", way)
        ready.set()
        await over.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())  # and cancels what is on the way

    thread = threading.Thread(target=run, name="long way", daemon=True)
    thread.start()
    assert ready.wait(10)
    yield way
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
