"""The process that decodes one episode: `python -m xperience.windows.worker`, an order on stdin, an answer on stdout.

libav and libhdf5 may crash or swell: then one episode is named, and its memory is given back.
"""

import resource
import signal
import sys
from pathlib import Path

from xperience.common.errors import FULL, BadDataError
from xperience.common.evidence import Part
from xperience.windows.media import build_media
from xperience.windows.recipe import MediaRecipe
from xperience.windows.source import SourceEpisode


class Order(Part):
    """One episode, and where its media go."""

    output: Path
    episode: SourceEpisode
    recipe: MediaRecipe


class Answer(Part):
    """`fault` is empty where the media are there; peak memory is that of the process."""

    fault: str = ""
    no_space: bool = False
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


def carry_out(order: Order) -> Answer:
    """Build media; what is wrong with the data or with the disk is the answer."""
    fault, no_space = "", False
    try:
        build_media(order.output, order.episode, order.recipe)
    except BadDataError as error:
        fault = str(error)
    except OSError as error:
        fault, no_space = str(error), error.errno in FULL
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Answer(
        fault=fault, no_space=no_space, cpu_seconds=usage.ru_utime + usage.ru_stime, peak_bytes=usage.ru_maxrss * 1024
    )


def main() -> None:
    """One order; Ctrl-C and SIGTERM are for the command, which ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    print(carry_out(Order.model_validate_json(sys.stdin.read())).model_dump_json())


if __name__ == "__main__":
    main()
