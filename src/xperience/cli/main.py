"""The `xperience` command: its groups, and the one place where an error becomes a message and an exit code."""

import resource
import signal
import sys

import typer

from xperience import __version__
from xperience.cli import (
    cosmos3_nano,
    demo,
    doctor,
    examples,
    gates,
    prepare,
    prepare_content,
    prepare_data,
    prepare_replace,
    prepare_run,
    qwen3_omni,
    relay,
    select,
    status,
    windows,
)
from xperience.cli.console import terminate_with
from xperience.cli.flags import command
from xperience.common.errors import ConfigurationError, ExitCode, XperienceError, error_of_disk
from xperience.common.settings.cluster import ClusterStatusSettings
from xperience.common.settings.demo import DemoSettings
from xperience.common.settings.doctor import DoctorSettings
from xperience.common.settings.gates import GatesSettings, ReportSettings
from xperience.common.settings.relay import RelayRunSettings

CLICK_USAGE = 2  # what typer exits with where the command line is wrong
# Libraries of the extras; the relay's requirements have none of them.
OPTIONAL = frozenset(
    {"av", "diffusers", "h5py", "jinja2", "numpy", "pyarrow", "sklearn", "torch", "transformers", "peft"}
)

app = typer.Typer(name="xperience", no_args_is_help=True, pretty_exceptions_enable=False)


app.add_typer(select.app, name="select")
app.add_typer(relay.app, name="relay")
prepare.app.add_typer(prepare_content.app)
prepare.app.add_typer(prepare_run.app)
prepare.app.add_typer(prepare_replace.app)
prepare.app.add_typer(prepare_data.app)  # without a name: its commands stand beside the others
app.add_typer(prepare.app, name="prepare")
app.add_typer(windows.app, name="windows")
app.add_typer(qwen3_omni.app, name="qwen3-omni")
app.add_typer(cosmos3_nano.app, name="cosmos3-nano")
command(app, "preflight", RelayRunSettings)(relay.preflight)
command(app, "gates", GatesSettings)(gates.gates)
command(app, "report", ReportSettings)(gates.report)
command(app, "doctor", DoctorSettings)(doctor.doctor)
command(app, "status", ClusterStatusSettings)(status.status)
command(app, "demo", DemoSettings)(demo.demo)


@app.callback()
def callback() -> None:
    """Move, prepare and train on large gated robot and egocentric data sets."""


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(__version__)


examples.add_to(app)


def report(error: XperienceError) -> int:
    """One line on stderr, the same line as termination message of a pod; returns the exit code."""
    print(f"xperience: {error}", file=sys.stderr)
    terminate_with(str(error))
    return int(error.exit_code)


def main() -> None:
    """Run a command; exit with its code."""
    # A core file would hold the hub's token and the store's keys; what is started from here inherits it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The first process of a container ignores a signal without a handler; commands with a state to save have their own.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(int(ExitCode.STOPPED)))
    try:
        app()
    except SystemExit as ended:
        sys.exit(int(ExitCode.USAGE) if ended.code == CLICK_USAGE else ended.code)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in OPTIONAL:
            raise
        sys.exit(
            report(
                ConfigurationError(
                    "a library of the later stages is missing",
                    why=f"{error.name} is not installed",
                    fix="pip install 'xperience[prepare]'; the relay's own image and one-file relay do without.",
                )
            )
        )
    except XperienceError as error:
        sys.exit(report(error))
    except Exception as error:
        named = error_of_disk(error)
        if named is None:
            raise
        sys.exit(report(named))
