"""Run the command line while this process's wall clock jumps by days; `time.monotonic` goes on, as it does on Linux."""

import atexit
import sys
import threading
import time

from xperience.cli.main import main

real = time.time
offset = 0.0
jumps = 0


def jump() -> None:
    global offset, jumps  # noqa: PLW0603
    while not ended.wait(0.2):
        offset = (3, -3, 300, 0)[jumps % 4] * 86400.0
        jumps += 1


ended = threading.Event()
time.time = lambda: real() + offset
time.time_ns = lambda: int((real() + offset) * 1e9)
threading.Thread(target=jump, daemon=True).start()
atexit.register(lambda: print(f"clock jumps: {jumps} ", file=sys.stderr))
sys.argv = ["xperience", *sys.argv[1:]]
main()
