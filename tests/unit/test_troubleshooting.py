"""The page of error messages names every one that asks a user to do something outside of the command line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from xperience.common.errors import ExitCode

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "xperience"
KINDS = {"RefusedError", "ConfigurationError", "NoSpaceError", "UnavailableError", "TryAgainError"}
PLACES = ("hub", "store", "relay", "selection", "cluster", "doctor.py", "common")
PAGE = re.findall(r"^### (.+)$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)


def messages(tree: ast.Module) -> Iterator[str]:
    """First arguments of these errors, and of rows of texts that are turned into one of them."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(text)), *_]) if kind in KINDS:
                yield text
            case ast.Tuple(elts=[ast.Constant(), ast.Name(id=kind), ast.Constant(value=str(text)), *_]) if (
                kind in KINDS
            ):
                yield text


def of(*places: str) -> set[str]:
    roots = [SOURCE / place for place in places]
    paths = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py"))]
    return {text for path in paths for text in messages(ast.parse(path.read_text()))}


def test_every_message_of_the_relay_stands_on_the_page():
    assert of(*PLACES) - set(PAGE) == set()


def test_every_heading_is_a_message():
    assert set(PAGE) - of(".") == set()
    assert len(PAGE) == len(set(PAGE))


def test_the_exit_codes_are_those_of_the_code():
    told = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert {int(code) for code in told} == {int(code) for code in ExitCode} - {0}
