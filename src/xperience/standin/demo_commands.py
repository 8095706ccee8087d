"""The demo's commands, shown as one would type them and run as the user runs them."""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from xperience.common.errors import BadDataError, ExitCode

EVIDENCE = "results"


@dataclass(frozen=True)
class Demo:
    """A folder with everything that the demo makes, and the environment of its commands."""

    folder: Path
    environment: dict[str, str]

    def say(self, text: str) -> None:
        """What comes next, and why."""
        print(f"\n# {text}", flush=True)

    def call(self, *arguments: str, expect: ExitCode = ExitCode.DONE) -> None:
        """One command of the user, shown as one would type it."""
        note = f"   # exits with {int(expect)}" if expect else ""
        print(f"\n$ xperience {' '.join(arguments)}{note}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "xperience", *arguments], env=self.environment, cwd=self.folder, check=False
        )
        if done.returncode != expect:
            raise BadDataError(
                "a command of the demo ended otherwise than it should", where=" ".join(arguments[:2]),
                why=f"exit code {done.returncode}, expected {int(expect)}",
            )  # fmt: skip

    def export(self, **settings: str) -> None:
        """Set `XPERIENCE_…` variables for the commands that follow, shown as one would type them."""
        named = {f"XPERIENCE_{name}": value for name, value in settings.items()}
        print(f"\n$ export {' '.join(f'{name}={value}' for name, value in named.items())}", flush=True)
        self.environment.update(named)

    def call_and_kill(self, data: Path, *arguments: str) -> None:
        """Start a command, and kill it with -9 as soon as the run is under way."""
        print(f"\n$ xperience {' '.join(arguments)}   # and kill -9 on the way", flush=True)
        running = subprocess.Popen(
            [sys.executable, "-m", "xperience", *arguments], env=self.environment, cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while running.poll() is None and not any(data.rglob("*.hdf5")):
            time.sleep(0.02)
        time.sleep(0.3)
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait()
        print(f"killed: exit status {running.returncode}", flush=True)
