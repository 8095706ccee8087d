"""The `xperience` command: its groups, and the one place where an error becomes a message and an exit code."""

import os
import sys
from pathlib import Path

import typer

from xperience import __version__
from xperience.cli import (
    demo,
    gates,
    prepare,
    prepare_content,
    prepare_data,
    prepare_replace,
    qwen3_omni,
    relay,
    select,
    windows,
)
from xperience.cli.flags import command
from xperience.common.errors import ExitCode, XperienceError
from xperience.common.settings import DemoSettings, GatesSettings, RelayRunSettings, ReportSettings

CLICK_USAGE = 2  # what typer exits with where the command line is wrong

app = typer.Typer(name="xperience", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


app.add_typer(select.app, name="select")
app.add_typer(relay.app, name="relay")
prepare.app.add_typer(prepare_content.app)
prepare.app.add_typer(prepare_replace.app)
prepare.app.add_typer(prepare_data.app)  # without a name: its commands stand beside the others
app.add_typer(prepare.app, name="prepare")
app.add_typer(windows.app, name="windows")
app.add_typer(qwen3_omni.app, name="qwen3-omni")
command(app, "preflight", RelayRunSettings)(relay.preflight)
command(app, "gates", GatesSettings)(gates.gates)
command(app, "report", ReportSettings)(gates.report)
command(app, "demo", DemoSettings)(demo.demo)


@app.callback()
def callback() -> None:
    """Move, prepare and train on large gated robot and egocentric data sets."""


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(__version__)


def report(error: XperienceError) -> int:
    """One line on stderr, the same line as termination message of a pod; returns the exit code."""
    print(f"xperience: {error}", file=sys.stderr)
    termination_log = Path(os.environ.get("XPERIENCE_TERMINATION_LOG", "/dev/termination-log"))
    if termination_log.is_file():
        termination_log.write_text(f"{error}\n")
    return int(error.exit_code)


def main() -> None:
    """Run a command; exit with its code."""
    try:
        app()
    except SystemExit as ended:
        sys.exit(int(ExitCode.USAGE) if ended.code == CLICK_USAGE else ended.code)
    except XperienceError as error:
        sys.exit(report(error))
