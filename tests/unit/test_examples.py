"""Every command that help and documents show is one: the real parser takes its words, its flags and its values."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from xperience.cli.examples import EXAMPLES
from xperience.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "charts").glob("*/README.md"))]
ELLIPSIS = "…"


def leaves(command, words=()):
    """Every command of the tree, by its words."""
    if hasattr(command, "commands"):  # typer brings a click of its own: no class to ask for
        for name, below in command.commands.items():
            yield from leaves(below, (*words, name))
    else:
        yield " ".join(words), command


def parse(line):
    """Parse as the program does, without running it; UsageError where it would."""
    command, arguments = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    context = command.context_class(command)
    while hasattr(command, "commands"):
        name, command, arguments = command.resolve_command(context, arguments)
    command.make_context(name, [word for word in arguments if word != ELLIPSIS])


def shown(page, program):
    """Commands of a program in the indented and fenced blocks of a page; lines that end in a backslash are joined."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    return re.findall(rf"^(?: {{4,}}|\t)?(?:\$ )?({program} \S.*)$", text, re.MULTILINE)


COMMANDS = [pytest.param(line, id=f"{page.parent.name}/{page.name}: {line[:60]}")
            for page in PAGES for line in shown(page, "xperience")]  # fmt: skip


def test_every_command_has_an_example_and_says_what_its_exit_status_means():
    found = dict(leaves(typer.main.get_command(app)))
    assert set(found) == set(EXAMPLES)
    for name, command in found.items():
        assert command.help
        assert "Exit status: 0 done" in command.epilog
        assert all(example in command.epilog for example in EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_command(name):
    for example in EXAMPLES[name]:
        assert example.startswith(f"xperience {name}")
        parse(example)


def test_a_flag_that_is_not_there_would_be_found():
    with pytest.raises(Exception, match="No such option: --batch-max-gibs"):
        parse("xperience relay run --batch-max-gibs 40")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_the_documents_is_one(line):
    parse(line)


def test_make_targets_in_the_documents_are_there():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for page in PAGES for word in re.findall(r"`(?:[A-Z_]+=\S+ )*make ([a-z0-9-]+)", page.read_text())}
    named |= {line.split()[1] for page in PAGES for line in shown(page, "make")}
    assert {"demo", "images", "test-kind"} <= named
    assert named <= targets
