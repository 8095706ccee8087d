import subprocess
import sys

import pytest

from xperience.cli.main import OPTIONAL

BARE = f"""
import sys
for name in {sorted(OPTIONAL)!r}:
    sys.modules[name] = None
from xperience.cli.main import main
main()
"""


def bare(*arguments):
    """The command where none of the extras' libraries is installed."""
    command = [sys.executable, "-c", BARE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("group", ["relay", "select", "prepare", "gates"])
def test_the_relays_requirements_are_enough_to_start(group):
    done = bare(group, "--help")
    assert done.returncode == 0, done.stderr


def test_a_missing_library_is_said_with_what_to_install(tmp_path):
    (tmp_path / "data").mkdir()
    done = bare("prepare", "audit", "--data-root", str(tmp_path / "data"))
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "is not installed" in done.stderr
    assert "xperience[prepare]" in done.stderr
