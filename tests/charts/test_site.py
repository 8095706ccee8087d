"""The documents as a site: every link leads somewhere, and no page needs another host."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, tool

ELSEWHERE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^\"> ]+", re.IGNORECASE)


@pytest.fixture(scope="module")
def mkdocs() -> str:
    return tool("mkdocs")


def build(mkdocs: str, config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [mkdocs, "build", "--config-file", config, "--site-dir", site]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_it_builds_without_a_broken_link_and_alone(mkdocs, tmp_path):
    done = build(mkdocs, ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = {page.name for page in (tmp_path / "site").glob("*.html")}
    assert {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} <= pages
    asked = [found for page in (tmp_path / "site").glob("*.html") for found in ELSEWHERE.findall(page.read_text())]
    assert [found for found in asked if 'rel="canonical"' not in found] == []


def test_a_link_into_nothing_fails(mkdocs, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[nothing](nowhere.md) [nor](index.md#there)")
    config = re.sub(r"(?ms)^nav:.*", "", (ROOT / "mkdocs.yml").read_text())
    (tmp_path / "mkdocs.yml").write_text(config.replace("site_dir: build/site", "site_dir: site"))
    done = build(mkdocs, tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr
    assert "#there" in done.stderr
