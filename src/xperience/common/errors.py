"""Exit codes (sysexits) and the exceptions that carry them; `cli` turns them into one line on stderr."""

import errno
import os
import re
from enum import IntEnum

FULL = (errno.ENOSPC, errno.EDQUOT)
RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # how Rust's libraries, safetensors among them, print an errno


class ExitCode(IntEnum):
    """What a command's exit status means; `podFailurePolicy` is built on these."""

    DONE = 0
    USAGE = 64
    BAD_DATA = 65
    UNAVAILABLE = 69
    NO_SPACE = 73
    TRY_AGAIN = 75
    REFUSED = 77
    CONFIGURATION = 78
    STOPPED = 143


class XperienceError(Exception):
    """An error that a user can act on: what failed, on which object, why, and what to do."""

    exit_code: ExitCode = ExitCode.CONFIGURATION

    def __init__(
        self, what: str, *, where: str = "", why: str = "", fix: str = "", exit_code: ExitCode | None = None
    ) -> None:
        self.what, self.where, self.why, self.fix = what, where, why, fix
        if exit_code is not None:
            self.exit_code = exit_code
        line = ": ".join(part for part in (what, where, why) if part)
        super().__init__(" ".join(f"{line}. {fix}".split()) if fix else " ".join(line.split()))


class UsageError(XperienceError):
    """The command line is wrong (64)."""

    exit_code = ExitCode.USAGE


class BadDataError(XperienceError):
    """A file's content is not what it has to be (65)."""

    exit_code = ExitCode.BAD_DATA


class UnavailableError(XperienceError):
    """The hub or the store cannot be reached or does not answer (69)."""

    exit_code = ExitCode.UNAVAILABLE


class NoSpaceError(XperienceError):
    """Scratch or store has no room (73)."""

    exit_code = ExitCode.NO_SPACE


class TryAgainError(XperienceError):
    """Somebody else holds what is needed (75)."""

    exit_code = ExitCode.TRY_AGAIN


class RefusedError(XperienceError):
    """A token, key or gate says no (77)."""

    exit_code = ExitCode.REFUSED


class ConfigurationError(XperienceError):
    """A setting, program or environment is wrong (78)."""

    exit_code = ExitCode.CONFIGURATION


class StoppedError(XperienceError):
    """Stopped by SIGTERM or SIGINT with the state saved (143)."""

    exit_code = ExitCode.STOPPED


def full_disk_behind(error: BaseException) -> OSError | None:
    """The full disk that led to an error, as an OSError of its own; libraries raise other errors above it."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError):
            number, where = at.errno, at.filename
        else:
            told = RUST_ERROR.search(str(at))
            number, where = int(told[1]) if told else None, None
        if number in FULL:
            return OSError(number, os.strerror(number), where)
        at = at.__cause__ or at.__context__
    return None


def error_of_disk(error: BaseException) -> XperienceError | None:
    """A disk that is full or that may not be written, as one of our errors; None where it is something else."""
    at = full_disk_behind(error) or error
    if not isinstance(at, OSError):
        return None
    where, why = str(at.filename or ""), str(at.strerror)
    if at.errno in FULL:
        return NoSpaceError("a file cannot be written", where=where, why=why, fix="Free space there and run again.")
    if at.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ConfigurationError("a file cannot be used", where=where, why=why, fix="This user has to be able to.")
    return None
