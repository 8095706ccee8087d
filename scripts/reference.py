"""Write docs/reference.md from the code: settings, examples, exit codes, metrics. `--check` fails where it is stale."""

import sys
from pathlib import Path

from pydantic import BaseModel

import xperience.qwen3_omni.progress  # registers the metrics of training
import xperience.relay.progress  # registers the relay's metrics
from xperience.cli.examples import EXAMPLES
from xperience.cli.flags import flag_of, variables_of
from xperience.common.errors import ExitCode, XperienceError
from xperience.common.metrics import REGISTRY
from xperience.common.settings import (
    CommonSettings,
    Settings,
    cluster,
    cosmos3_nano,
    demo,
    doctor,
    gates,
    hub,
    prepare,
    qwen3_omni,
    relay,
    selection,
    store,
    windows,
)

TARGET = Path(__file__).parent.parent / "docs" / "reference.md"
_ = xperience.relay.progress, xperience.qwen3_omni.progress
STAGES = hub, store, selection, relay, cluster, demo, prepare, gates, windows, qwen3_omni, cosmos3_nano, doctor


def settings_table(model: type[BaseModel]) -> list[str]:
    """One row per setting that this class itself defines."""
    rows = ["| flag | variables | default | meaning |", "|---|---|---|---|"]
    for name in model.__annotations__:
        field = model.model_fields[name]
        default = "" if field.default is None else str(field.default)
        variables = " ".join(f"`{variable}`" for variable in variables_of(name, field))
        cell = f"`{default}`" if default else ""
        rows.append(f"| `{flag_of(name, field)}` | {variables} | {cell} | {field.description} |")
    return rows


def reference() -> str:
    """The whole page."""
    lines = ["# Reference", "", "Made from the code by `make docs`; do not edit.", "", "## Settings", ""]
    lines += [
        "A flag wins over a variable, `XPERIENCE_…` over the others. Secrets are never flags: `HF_TOKEN` or the file"
    ]
    lines += ["of `--hf-token-path`; `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.", ""]
    models = [CommonSettings] + [
        model
        for stage in STAGES
        for model in vars(stage).values()
        if isinstance(model, type) and issubclass(model, Settings) and model.__module__ == stage.__name__
    ]
    for model in models:
        doc = (model.__doc__ or "").strip().splitlines()[0]
        if not model.__annotations__:
            continue
        lines += [f"### {doc.rstrip('.')}", "", *settings_table(model), ""]
    examples = [f"    {line}" for lines_of in EXAMPLES.values() for line in lines_of]
    lines += ["## Examples", "", "One or more of every command; `--help` has them too.", "", *examples, ""]
    lines += ["## Exit codes", "", "| code | name | meaning |", "|---|---|---|"]
    meanings = {error.exit_code: (error.__doc__ or "").split(" (")[0] for error in XperienceError.__subclasses__()}
    for code in ExitCode:
        lines.append(f"| {int(code)} | {code.name} | {meanings.get(code, 'Done.').rstrip('.')}. |")
    lines += ["", "## Metrics", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for family in sorted(REGISTRY.collect(), key=lambda family: family.name):
        collector = REGISTRY._names_to_collectors[family.name]
        labels = ", ".join(getattr(collector, "_labelnames", ()))
        suffix = "_total" if family.type == "counter" else ""
        lines.append(f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write, or check."""
    page = reference()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != page:
            print(f"{TARGET.name} is out of date: run `make docs`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(page)
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
