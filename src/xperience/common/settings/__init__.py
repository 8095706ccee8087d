"""Every setting, once: name, type, default and meaning; flags, variables, Helm values and docs come from here.

A field `batch_max_gib` is the flag `--batch-max-gib` and the variable `XPERIENCE_BATCH_MAX_GIB`; a flag wins over a
variable. Other variables that a field reads stand in its `env`. A secret is never a flag: it is read from a file or a
variable.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# The plan's folder of artefacts: every command writes there, and finds there what others wrote.
EVIDENCE = Path("results/omni_finetune")


def setting(
    default: Any, meaning: str, *, env: tuple[str, ...] = (), group: str = "", flag: str = "", **limits: Any
) -> Any:
    """A pydantic field with its meaning, the further variables that it is read from, and its help panel.

    `flag` stands in for the one that the field's name gives.
    """
    extra: dict[str, Any] = {"env": list(env), "group": group, "flag": flag}
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


class Settings(BaseModel):
    """Base: frozen, unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CommonSettings(Settings):
    """What every long command takes."""

    log_format: Literal["json", "text"] = setting("text", "Log lines on stderr as json or text.")
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level that is logged.")
