"""kill -9 at random moments, many times, over runs to both stores: `make kill-soak KILLS=200`; prints its log."""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

from conftest import EPISODES, TOKEN, Job, s3_destination, ssh_destination, write_files
from kills import under_fire

from xperience.standin.hub import StandinHub
from xperience.standin.servers import S3Server, SshServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261123)
    arguments = parser.parse_args()
    say = lambda line: print(line, flush=True)  # noqa: E731
    say(f"{time.strftime('%Y-%m-%d')} Python {platform.python_version()} {platform.system()} {platform.machine()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder / "repository", EPISODES)
        with (
            StandinHub(folder / "repository", "org/data", token=TOKEN, rate_bytes_per_second=10e6) as hub,
            SshServer(folder / "ssh") as sshd,
            S3Server(folder / "s3") as s3,
        ):
            for kind in ("ssh", "s3"):

                def fresh(number: int, kind: str = kind):
                    return ssh_destination(sshd, f"d{number}") if kind == "ssh" else s3_destination(s3, f"d{number}")

                job = Job(
                    folder / f"job-{kind}", hub, fresh(0), ["--chunk-size-mib", "1", "--chunk-threshold-mib", "2"]
                )
                job.folder.mkdir()
                job.select()
                started = time.monotonic()
                toll = under_fire(
                    job, fresh, kills=arguments.kills // 2, seed=arguments.seed, longest_seconds=6.0, say=say
                )
                say(f"{kind}: {toll} in {time.monotonic() - started:.0f} s")
    say("every job was byte-identical at the store, with an empty scratch")


if __name__ == "__main__":
    sys.exit(main())
