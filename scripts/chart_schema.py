"""Write the charts' values.schema.json from their values and settings; `--check` says whether they are true."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from xperience.common.settings.cosmos3_nano import (
    Cosmos3NanoCheckSettings,
    Cosmos3NanoExportSettings,
    Cosmos3NanoTrainSettings,
)
from xperience.common.settings.prepare import PrepareRunSettings
from xperience.common.settings.qwen3_omni import Qwen3OmniEvaluateSettings, Qwen3OmniTrainSettings
from xperience.common.settings.relay import RelayPullSettings, RelayRunSettings
from xperience.common.settings.windows import WindowsBuildSettings

CHARTS = Path(__file__).parent.parent / "charts"
# What `settings` of a chart may name.
SETTINGS: dict[str, set[str]] = {
    "relay": {*RelayRunSettings.model_fields},
    "prepare": {*PrepareRunSettings.model_fields, *RelayPullSettings.model_fields},
    "windows": {*WindowsBuildSettings.model_fields},
    "cosmos3-nano": {
        *Cosmos3NanoExportSettings.model_fields,
        *Cosmos3NanoCheckSettings.model_fields,
        *Cosmos3NanoTrainSettings.model_fields,
    },
    "qwen3-omni": {*Qwen3OmniTrainSettings.model_fields, *Qwen3OmniEvaluateSettings.model_fields},
}
# Maps and lists whose content is Kubernetes', not ours.
OPEN = {
    "imagePullSecrets", "rcloneEnv", "resources.relay", "resources.requests", "resources.limits",
    "metrics.podMonitor.labels",
    "metrics.prometheusRule.labels", "metrics.dashboard.labels", "networkPolicy.monitoringFrom", "proxyEnv",
    "serviceAccount.annotations", "commonLabels", "podLabels", "podAnnotations",
    "nodeSelector", "tolerations", "affinity", "nccl", "extraEnv", "extraVolumes", "extraVolumeMounts",
    "gate.resources.requests", "gate.resources.limits",
}  # fmt: skip
# Named by the chart itself, from other values.
GIVEN_BY_THE_CHART = {
    "hf_endpoint", "hf_token_path", "relay_root", "rclone", "rclone_socket", "rclone_fs", "selection_json", "store",
    "transfer_host", "transfer_root", "ssh_key", "known_hosts", "s3_endpoint", "s3_region", "s3_provider",
    "metrics_port", "deadline_seconds", "offline", "dry_run", "require_probe", "selection_url", "selection_sha256",
    "shard", "progress_job", "progress_job_uid", "json_output", "data_root", "evidence", "shards", "run",
    "windows", "manifest_json", "base", "output", "records", "processes", "merge", "zero_shot",
}  # fmt: skip


def schema_of(chart: str, value: Any, path: str) -> dict[str, Any]:
    """JSON schema (draft 7) of a default: closed for our own maps, open for Kubernetes'."""
    if path == "settings":
        names = sorted(SETTINGS[chart] - GIVEN_BY_THE_CHART) + ["dry_run"] * (chart == "relay")
        scalar = {"type": ["string", "number", "boolean"]}
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(names, scalar),
        }
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    found: dict[str, Any] = {"type": kinds[type(value)]}
    if isinstance(value, dict) and path not in OPEN:
        found["additionalProperties"] = False
        found["properties"] = {
            name: schema_of(chart, item, f"{path}.{name}".strip(".")) for name, item in value.items()
        }
    return found


def main() -> int:
    """Write, or check."""
    stale = []
    for chart in SETTINGS:
        values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
        document = {"$schema": "http://json-schema.org/draft-07/schema#", **schema_of(chart, values, "")}
        # Helm merges the values of dependencies in.
        document["properties"] |= {"common": {"type": "object"}, "global": {"type": "object"}}
        text, target = json.dumps(document, indent=2) + "\n", CHARTS / chart / "values.schema.json"
        if "--check" not in sys.argv:
            target.write_text(text)
            print(f"wrote {target}")
        elif not target.exists() or target.read_text() != text:
            stale.append(f"charts/{chart}/{target.name}")
    if stale:
        print(f"out of date: {', '.join(stale)}: run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
