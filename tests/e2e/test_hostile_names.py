"""Files whose names are commands, options and patterns elsewhere: to a store they are names."""

from pathlib import Path

import pytest
from conftest import BOTH_STORES, TOKEN, Job, write_files

from xperience.standin.hub import StandinHub

NAMES = (
    "it's.bin", 'a"b.bin', "$(touch pwned).bin", "`touch pwned`.bin", "a;touch pwned;.bin", "a|touch pwned.bin",
    "a&b>c<d.bin", "-rf.bin", "--help", "a b  c.bin", "#x?.bin", "%2e%2e.bin", "*.bin", "[a-z].bin", "ü€.bin", "~root",
    "$HOME.bin", "!history.bin", "{a,b}.bin",
)  # fmt: skip


@pytest.fixture
def hostile(tmp_path, destination):
    write_files(tmp_path / "repository", {f"-folder $(touch pwned)/{name}": 1000 + len(name) for name in NAMES})
    with StandinHub(tmp_path / "repository", "org/data", token=TOKEN) as hub:
        made = Job(tmp_path, hub, destination)
        made.select()
        yield made


@BOTH_STORES
def test_names_are_never_commands_options_or_patterns(hostile, tmp_path):
    hostile.run()
    hostile.check_whole()
    assert len(hostile.source()) == len(NAMES)
    assert not (Path.home() / "pwned").exists()  # where the store's shell would have made it
    assert "pwned" not in {path.name for path in tmp_path.rglob("*")}
    if hostile.destination.root is not None:
        assert "pwned" not in {path.name for path in hostile.destination.root.parent.rglob("*")}
