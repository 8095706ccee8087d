"""Write tests/data/crds/*.json: the schemas of the jobs that train, from their Go modules, without the pods inside.

The pod templates are some 600 kB each and validated as Kubernetes' own. Needs Go; run by hand when a version changes.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).parent.parent / "tests" / "data" / "crds"
MODULES = {
    "github.com/kubeflow/training-operator@v1.9.3": ["kubeflow.org_pytorchjobs"],
    "github.com/kubeflow/trainer/v2@v2.1.0": [
        "trainer.kubeflow.org_trainjobs",
        "trainer.kubeflow.org_trainingruntimes",
    ],
}


def without_pods(schema: Any) -> Any:
    """The schema, with an open object for each pod's spec and no descriptions."""
    if isinstance(schema, list):
        return [without_pods(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    properties = schema.get("properties", {})
    if {"containers", "initContainers"} <= set(properties):
        return {"type": "object"}
    found = {
        name: without_pods(value) for name, value in schema.items() if name != "description" or isinstance(value, dict)
    }
    if "properties" in found and "additionalProperties" not in found:
        found["additionalProperties"] = False  # what the API server would prune is an error here
    return found


def main() -> None:
    """Write them all."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for module, names in MODULES.items():
        done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True)
        crds = Path(json.loads(done.stdout)["Dir"]) / "manifests" / "base" / "crds"
        for name in names:
            crd = yaml.safe_load((crds / f"{name}.yaml").read_text())
            (version,) = (one for one in crd["spec"]["versions"] if one["served"])
            schema = without_pods(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            place = TARGET / f"{crd['spec']['names']['kind'].lower()}.json"
            place.write_text(json.dumps({"module": module, "schema": schema}, indent=1) + "\n")
            print(f"wrote {place}, {place.stat().st_size} bytes")


if __name__ == "__main__":
    main()
