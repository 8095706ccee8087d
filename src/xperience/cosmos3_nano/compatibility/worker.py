"""One of the processes that share the clips: `python -m xperience.cosmos3_nano.compatibility.worker <settings>`."""

import os
import sys
from pathlib import Path

import torch

from xperience.common.log import get_log
from xperience.common.settings.cosmos3_nano import Cosmos3NanoCheckSettings
from xperience.cosmos3_nano.compatibility.run import check, refuse_failures
from xperience.training.group import Group
from xperience.training.launch import stop_asked, tell_outcome
from xperience.training.process import worker_process


def work(settings: Cosmos3NanoCheckSettings) -> None:
    """All rows on this process's clips; the first one writes the record of all, and logs it."""
    with worker_process(settings):
        group = Group()
        record = check(settings, group, stop_asked)
        if group.rank == 0:
            for row in record.checks:
                get_log().info("check", row=row.number, name=row.name, verdict=row.verdict, reason=row.reason)
        group.barrier()  # the record is there before any process ends with what it says
        group.close()
        refuse_failures(record, settings.output)
        tell_outcome(message=f"record of {len(record.clips)} clips: {settings.output}")


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work(Cosmos3NanoCheckSettings.model_validate_json(Path(sys.argv[1]).read_text()))
