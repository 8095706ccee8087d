"""SECURITY.md names a test for every threat; what it says of the code as a whole is looked at here."""

import re
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text())


def test_there_is_a_table():
    assert len(NAMED) > 15


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_a_named_test_is_there(path, test):
    text = (ROOT / path).read_text()
    assert f"def {test}(" in text if test else "def test_" in text


def test_nothing_that_is_read_can_be_code():
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        assert not re.search(
            r"\bimport (pickle|dill|cloudpickle|joblib)\b|allow_pickle=True|weights_only=False", text
        ), path
        assert not re.search(r"\byaml\.(unsafe_)?load\(|(?<![\w.])(eval|exec)\(|shell=True", text), path


REVIEWED = re.findall(r"^\| ([\w-]+) \| .*CVE-.*\| ([\d.]+) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("package", "mended"), REVIEWED)
def test_no_lock_of_an_image_is_older_than_what_mends_a_known_advisory(package, mended):
    locks = [(ROOT / "requirements" / f"{name}.txt").read_text() for name in ("relay", "cluster", "prepare", "train")]
    locked = {version for text in locks for version in re.findall(rf"^{package}==([\w.]+)", text, re.MULTILINE)}
    assert locked, "the table names what no lock has"
    assert all(Version(version) >= Version(mended) for version in locked)


def test_the_review_has_its_rows():
    assert len(REVIEWED) == 17
