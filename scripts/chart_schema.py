"""Write charts/relay/values.schema.json from its values and the relay's settings; `--check` says whether it is true."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from xperience.common.settings import RelayRunSettings

CHART = Path(__file__).parent.parent / "charts" / "relay"
TARGET = CHART / "values.schema.json"
# Maps and lists whose content is Kubernetes', not ours.
OPEN = {
    "imagePullSecrets", "rcloneEnv", "resources.relay", "metrics.podMonitor.labels",
    "metrics.prometheusRule.labels", "metrics.dashboard.labels", "networkPolicy.monitoringFrom", "proxyEnv",
    "serviceAccount.annotations", "commonLabels", "podLabels", "podAnnotations",
    "nodeSelector", "tolerations", "affinity",
}  # fmt: skip
# Named by the chart itself, from other values.
GIVEN_BY_THE_CHART = {
    "hf_endpoint", "hf_token_path", "relay_root", "rclone", "rclone_socket", "rclone_fs", "selection_json", "store",
    "transfer_host", "transfer_root", "ssh_key", "known_hosts", "s3_endpoint", "s3_region", "s3_provider",
    "metrics_port", "deadline_seconds", "offline", "dry_run", "selection_url", "selection_sha256", "shard",
    "progress_job", "progress_job_uid", "json_output",
}  # fmt: skip


def schema_of(value: Any, path: str) -> dict[str, Any]:
    """JSON schema (draft 7) of a default: closed for our own maps, open for Kubernetes'."""
    if path == "settings":
        names = [name for name in RelayRunSettings.model_fields if name not in GIVEN_BY_THE_CHART]
        scalar = {"type": ["string", "number", "boolean"]}
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys([*names, "dry_run"], scalar),
        }
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    found: dict[str, Any] = {"type": kinds[type(value)]}
    if isinstance(value, dict) and path not in OPEN:
        found["additionalProperties"] = False
        found["properties"] = {name: schema_of(item, f"{path}.{name}".strip(".")) for name, item in value.items()}
    return found


def main() -> int:
    """Write, or check."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    document = {"$schema": "http://json-schema.org/draft-07/schema#", **schema_of(values, "")}
    # Helm merges the values of dependencies in.
    document["properties"] |= {"common": {"type": "object"}, "global": {"type": "object"}}
    text = json.dumps(document, indent=2) + "\n"
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text:
            print(f"{TARGET.name} is out of date: run `make docs`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
