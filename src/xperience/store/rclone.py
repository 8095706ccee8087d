"""The rclone program: found, started as `rcd` on a private socket, ended with the relay."""

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xperience.common.errors import ConfigurationError, UnavailableError
from xperience.common.signals import die_with_parent
from xperience.store.rc import Rc, RcError

BUILT_VERSION = "1.76.0"
START_SECONDS = 20.0
STOP_SECONDS = 15.0
# rclone needs nothing of the hub.
KEPT_FROM_RCLONE = ("HF_TOKEN", "HF_TOKEN_PATH", "XPERIENCE_HF_TOKEN_PATH")


def find_rclone(wanted: Path | None) -> Path:
    """The program that is named, else PATH's, else the one that `make rclone` built; ConfigurationError without any."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    built = cache / "xperience" / "bin" / f"rclone-{BUILT_VERSION}"
    on_path = shutil.which("rclone")
    for candidate in (wanted, Path(on_path) if on_path else None, built):
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate.absolute()
        if candidate is not None and candidate is wanted:
            raise ConfigurationError("not an executable rclone", where=str(wanted), fix="Check --rclone.")
    raise ConfigurationError(
        "rclone not found", where="--rclone, PATH, the user's cache",
        fix=f"Run `make rclone` (builds {BUILT_VERSION} from its Go module), or install rclone ≥ 1.76.",
    )  # fmt: skip


@contextmanager
def running_rclone(program: Path, config: str, log: Path) -> Iterator[Rc]:
    """A private `rclone rcd`: config and socket in a folder of this user alone, log lines in `log`.

    It gets SIGTERM when the thread that started it ends, so call this from the main thread; a relay that is killed
    takes its rclone with it. On leaving, SIGTERM lets rclone abort multipart uploads.
    """
    folder = _runtime_folder()
    _sweep(folder)
    configuration, socket = folder / f"{os.getpid()}.conf", folder / f"{os.getpid()}.sock"
    configuration.touch(mode=0o600)
    configuration.write_text(config)
    socket.unlink(missing_ok=True)  # a killed rcd leaves it, and the next one would die of it
    command = [
        str(program), "rcd", "--config", str(configuration), "--rc-addr", f"unix://{socket}", "--rc-no-auth",
        "--rc-job-expire-duration", "24h", "--retries", "1", "--low-level-retries", "10", "--stats", "0",
        "--log-level", "INFO",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_RCLONE}
    with log.open("ab") as log_handle:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log_handle, stderr=log_handle, env=environment,
            preexec_fn=die_with_parent,  # noqa: PLW1509  it calls prctl and nothing else
        )  # fmt: skip
    rc = Rc(socket)
    try:
        _wait_until_ready(rc, process, log)
        yield rc
    finally:
        rc.close()
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        socket.unlink(missing_ok=True)
        configuration.unlink(missing_ok=True)


def _runtime_folder() -> Path:
    """A short path: the kernel takes at most 107 characters for a socket, and a relay root may be longer."""
    folder = Path(tempfile.gettempdir()) / f"xperience-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(
            "folder for rclone's socket is not this user's alone", where=str(folder), fix="Remove it, or set TMPDIR."
        )
    return folder


def _sweep(folder: Path) -> None:
    """Delete what relays left that were killed."""
    for place in folder.iterdir():
        if place.stem.isdigit() and not Path(f"/proc/{place.stem}").exists():
            place.unlink(missing_ok=True)


def _wait_until_ready(rc: Rc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            rc.call("rc/noop")
        except (UnavailableError, RcError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    "rclone did not start", why=f"exit status {process.poll()}", fix=f"See the end of {log}."
                ) from None  # fmt: skip
            time.sleep(0.05)
        else:
            return


def has_sftp_multithread(rc: Rc) -> bool:
    """Whether this rclone can send one file over several SSH connections (1.76 and later)."""
    providers = rc.call("config/providers")["providers"]
    return any(
        option["Name"] == "multithread_upload"
        for provider in providers
        if provider["Name"] == "sftp"
        for option in provider["Options"]
    )
