"""One training process, as torchrun starts it: what its errors become, and how it says how it ended."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from xperience.common.errors import XperienceError, error_of_disk
from xperience.common.log import configure_log, get_log
from xperience.common.metrics import serve_metrics
from xperience.common.settings import CommonSettings
from xperience.common.signals import die_with_parent
from xperience.training.group import Group, is_of_the_others
from xperience.training.launch import stop_asked, tell_lost, tell_outcome
from xperience.training.loop import Run, train


@contextmanager
def worker_process(settings: CommonSettings) -> Iterator[None]:
    """Around all that a worker does: its errors are told to the launcher with their exit codes."""
    die_with_parent(signal.SIGKILL)
    # torchrun's own SIGTERM would come with a SIGKILL behind it: the launcher's stop file is what ends a run.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure_log(settings.log_format, settings.log_level)
    try:
        yield
    except XperienceError as error:
        _end(error)
    except Exception as error:
        if named := error_of_disk(error):
            _end(named)
        if isinstance(error, RuntimeError) and is_of_the_others(error):
            tell_lost(f"lost another process of the run: {str(error).splitlines()[0][:200]}")
        raise


def _end(error: XperienceError) -> NoReturn:
    tell_outcome(exit_code=int(error.exit_code), message=str(error))
    print(f"xperience: {error}", file=sys.stderr)
    sys.exit(1)


def serve(group: Group, metrics_port: int | None) -> None:
    """Metrics of rank 0, where a port is given."""
    if metrics_port is not None and group.rank == 0:
        get_log().info("metrics", port=serve_metrics(metrics_port))


def work_off(run: Run) -> None:
    """Train to the end or to a stop, and tell the launcher which; then leave the group."""
    outcome = train(run, stop_asked)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        best = "" if outcome.best_loss is None else f", best validation loss {outcome.best_loss}"
        tell_outcome(stopped=outcome.stopped, step=outcome.step, message=f"{outcome.step} steps{best}: {outcome.why}")
    run.group.close()
