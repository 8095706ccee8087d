"""A check of a preflight: its name, verdict, what was found, and what to do where it failed."""

from dataclasses import dataclass

from xperience.common.errors import ExitCode, XperienceError


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a preflight's table."""

    name: str
    ok: bool
    detail: str
    exit_code: ExitCode = ExitCode.DONE
    fix: str = ""

    @classmethod
    def failed(cls, name: str, error: XperienceError) -> "Check":
        """A check that ended with one of our errors."""
        detail = ": ".join(part for part in (error.what, error.where, error.why) if part)
        return cls(name, False, detail, error.exit_code, error.fix)
