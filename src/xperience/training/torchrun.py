"""torchrun with an exit code that says what ended a worker: its own, or 128 + N after signal N, as shells have it.

torchrun itself says 1 for all of them, and a job that tells failures by their code would not try again after a kill.
"""

import sys

from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.run import main

from xperience.training.launch import LOST, tell_lost

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ChildFailedError as error:
        print(error, file=sys.stderr)
        _, first = error.get_first_failure()
        sys.exit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode)
    except (RendezvousError, DistError) as error:
        tell_lost(f"lost the hosts of the run: {str(error).splitlines()[0][:200]}")
        sys.exit(LOST)
