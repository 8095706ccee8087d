"""Run the command line in a process that kills itself with -9 at one commit of the ledger.

    python kill_at.py STATE before|after COUNT  relay run …

COUNT: at which commit of that state (1 is the first).
"""

import os
import signal
import sys
from typing import Any

from xperience.cli.main import main
from xperience.relay.ledger import Ledger, State

state, moment, count = State(sys.argv[1]), sys.argv[2], int(sys.argv[3])
original = Ledger.set
seen = 0


def set_and_die(self: Ledger, path: str, new: State, **columns: Any) -> None:
    """The ledger's own commit, with the end of the process before or after it."""
    global seen  # noqa: PLW0603
    seen += new is state
    fatal = new is state and seen == count
    if fatal and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, path, new, **columns)
    if fatal:
        os.kill(os.getpid(), signal.SIGKILL)


Ledger.set = set_and_die  # type: ignore[method-assign]
sys.argv = ["xperience", *sys.argv[4:]]
main()
