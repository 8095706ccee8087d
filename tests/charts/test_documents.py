"""Every `helm install` of the documents renders: its values are the chart's."""

import re
import shlex

import pytest
from conftest import CHARTS, ROOT, helm

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(CHARTS.glob("*/README.md"))]
INSTALLS = [
    pytest.param(line, id=f"{page.parent.name}/{page.name}: {' '.join(line.split()[2:4])}")
    for page in PAGES
    for line in re.findall(r"^ {4,}(helm install .*)$", re.sub(r"\\\n\s*", " ", page.read_text()), re.MULTILINE)
]


def test_there_is_one_of_every_stage():
    told = " ".join(param.values[0] for param in INSTALLS)
    assert {path.parent.name for path in CHARTS.glob("*/values.yaml")} == set(re.findall(r"charts/([a-z0-9-]+)", told))


@pytest.mark.parametrize("line", INSTALLS)
def test_a_documented_install_renders(line, tmp_path):
    _, _, release, chart, *flags = shlex.split(line, comments=True)
    packed = tmp_path / "selection.packed"
    packed.write_text("H4sIAAAAAAAC")
    flags = [flag.replace("=selection.packed", f"={packed}") for flag in flags]
    done = helm("template", release, str(ROOT / chart), *flags)
    assert done.returncode == 0, done.stderr
