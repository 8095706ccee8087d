"""yamllint and checkov over every manifest: jobs, overlays, and each scenario of the charts as Helm renders it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
SOURCES = ["kustomize", "charts", ".yamllint.yaml", ".checkov.yaml"]
# Helm's toYaml does not indent lists, and a rendered sentence is as long as it is.
RENDERED = {
    "extends": str(ROOT / ".yamllint.yaml"),
    "rules": {"line-length": "disable", "indentation": {"indent-sequences": "whatever"}, "empty-lines": "disable"},
}
MISSING = 69


def program(script: str, *arguments: str) -> Path:
    """What a script of ours installs and prints; ends the run with 69 where that cannot be."""
    environment = {**os.environ, "PYTHON": sys.executable, "VENV": str(BIN.parent)}
    done = subprocess.run(
        [ROOT / "scripts" / script, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(MISSING)
    return Path(done.stdout.strip())


def text_of(*command: Path | str) -> str:
    """What a tool writes to stdout; where it fails, its own words end the run."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def render(target: Path) -> None:
    """Every scenario of every chart, every overlay and every plain job, a file each."""
    tools = program("helm")
    for values in sorted((ROOT / "charts").glob("*/ci/*-values.yaml")):
        chart = values.parents[1]
        text = text_of(tools / "helm", "template", "demo", chart, "--values", values)
        (target / f"{chart.name}-{values.stem}.yaml").write_text(text)
    for overlay in sorted((ROOT / "kustomize" / "overlays").iterdir()):
        (target / f"kustomize-{overlay.name}.yaml").write_text(text_of(tools / "kubectl", "kustomize", overlay))
    for job in sorted((ROOT / "jobs").glob("*.yaml")):
        (target / f"job-{job.name}").write_text(job.read_text())


def yamllint(*places: Path | str, config: Path) -> bool:
    """Whether yamllint finds nothing; it prints what it finds."""
    command = [BIN / "yamllint", "--strict", "--config-file", config, *places]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def findings(folder: Path) -> dict[str, list[str]]:
    """What checkov finds: id to where."""
    done = subprocess.run(
        [
            program("tool", "checkov"), "--framework", "kubernetes", "--directory", folder, "--output", "json",
            "--skip-download", "--config-file", folder.parent / "checkov.yaml",
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["passed"] > 0, "checkov looked at nothing"
    found: dict[str, list[str]] = {}
    for check in report["results"]["failed_checks"]:
        found.setdefault(check["check_id"], []).append(
            f"{check['check_name']}: {check['resource']} {check['file_path']}"
        )
    return found


def main() -> int:
    """Print what is wrong; 1 where anything is."""
    excepted = set(yaml.safe_load((ROOT / ".checkov.yaml").read_text())["skip-check"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "rendered"
        folder.mkdir()
        render(folder)
        config = Path(name) / "yamllint.yaml"
        config.write_text(yaml.safe_dump(RENDERED))
        (Path(name) / "checkov.yaml").write_text("quiet: true\n")  # not ours: exceptions are counted here
        clean = yamllint(*SOURCES, config=ROOT / ".yamllint.yaml")
        clean = yamllint(folder, config=config) and clean
        found = findings(folder)
    for check in sorted(set(found) - excepted):
        print(f"{check} {found[check][0]} (and {len(found[check]) - 1} more)", file=sys.stderr)
    for check in sorted(excepted - set(found)):
        print(f"{check} stands in .checkov.yaml, and nothing needs it any more", file=sys.stderr)
    return 0 if clean and set(found) == excepted else 1


if __name__ == "__main__":
    sys.exit(main())
