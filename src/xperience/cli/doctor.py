"""`xperience doctor`."""

from dataclasses import asdict

from xperience.cli.console import out, print_json, print_table
from xperience.common.errors import XperienceError
from xperience.common.settings.doctor import DoctorSettings
from xperience.doctor import examine


def doctor(settings: DoctorSettings) -> None:
    """Say what is installed and reachable here, what is missing, and how to get it; 0 where nothing is missing."""
    checks = list(examine(settings))
    if settings.json_output:
        print_json([{**asdict(check), "exit_code": int(check.exit_code)} for check in checks])
    else:
        print_table(
            f"for {settings.purpose}", ("what", "", "found"),
            [(check.name, "ok" if check.ok else "MISSING", check.detail) for check in checks],
        )  # fmt: skip
        for check in checks:
            if check.fix:
                out.print(f"{check.name}: {check.fix}")
    missing = [check for check in checks if not check.ok]
    if missing:
        raise XperienceError(
            "not ready", where=settings.purpose, why=", ".join(check.name for check in missing),
            exit_code=missing[0].exit_code,
        )  # fmt: skip
