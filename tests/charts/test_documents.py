"""Every `helm install` of the documents renders: its values are the chart's."""

import re
import shlex

import pytest
from conftest import CHARTS, ROOT, helm

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(CHARTS.glob("*/README.md"))]
INSTALLS = [
    pytest.param(found[1], joined[: found.start()], id=f"{page.parent.name}/{page.name}: {found[1][13:40].strip()}")
    for page in PAGES
    for joined in [re.sub(r"\\\n\s*", " ", page.read_text())]
    for found in re.finditer(r"^ {4,}(helm install .*)$", joined, re.MULTILINE)
]


def test_there_is_one_of_every_stage():
    told = " ".join(param.values[0] for param in INSTALLS)
    assert {path.parent.name for path in CHARTS.glob("*/values.yaml")} == set(re.findall(r"charts/([a-z0-9-]+)", told))


@pytest.mark.parametrize(("line", "before"), INSTALLS)
def test_a_documented_install_renders_and_says_what_hardware_it_needs(line, before, tmp_path):
    _, _, release, chart, *flags = shlex.split(line, comments=True)
    packed = tmp_path / "selection.packed"
    packed.write_text("H4sIAAAAAAAC")
    flags = [re.sub(r"=.*selection\.packed$", f"={packed}", flag) for flag in flags]
    done = helm("template", release, str(ROOT / chart), *flags)
    assert done.returncode == 0, done.stderr
    section = re.split(r"^#+ ", before, flags=re.MULTILINE)[-1]
    assert "nvidia.com/gpu" not in done.stdout or re.search(r"^Needs: .*GPU", section, re.MULTILINE)
