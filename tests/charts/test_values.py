"""values.yaml: each value has a sentence, stands in the schema, and changes what the chart renders."""

import copy
import json
import re

import pytest
import yaml
from conftest import CHARTS, helm, refusal, scenarios

CHART = CHARTS / "relay"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# Other values that a value needs before it can have an effect.
NEEDS = {
    "metrics.podMonitor": {"metrics": {"podMonitor": {"enabled": True}}},
    "metrics.prometheusRule": {"metrics": {"prometheusRule": {"enabled": True}}},
    "metrics.dashboard": {"metrics": {"dashboard": {"enabled": True}}},
    "metrics.port": {"networkPolicy": {"monitoringFrom": [{"podSelector": {}}]}},
    "networkPolicy.apiServerPorts": {"progress": {"enabled": True}},
    "selection.key": {"selection": {"packed": "H4sI"}},
    "selection.sha256": {"selection": {"url": "https://files.example/selection.json"}},
    "selection.url": {"selection": {"sha256": "0" * 64}},
    "customCa.key": {"customCa": {"configMap": "ca"}},
}


def leaves(value, path=""):
    """Path and default of everything that a user may set."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}".strip("."))
    else:
        yield path, value


LEAVES = list(leaves(DEFAULTS))
MAPS = sorted({path.rpartition(".")[0] for path, _ in LEAVES} - {"resources.relay.requests", "resources.relay.limits"})


def put(values, path, value):
    found = copy.deepcopy(values)
    *parents, last = path.split(".")
    place = found
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return found


def merged(first, second):
    found = copy.deepcopy(first)
    for name, value in second.items():
        both_maps = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both_maps else copy.deepcopy(value)
    return found


def others(default):
    """Values of the same type."""
    match default:
        case bool():
            return [not default]
        case int() | float():
            return [default + 1, 100_000]
        case str():
            return ["other", "https://other.example:444/x", "0" * 64]
        case list():
            return [[{"name": "other", "key": "other"}], [54]]
        case _:
            return [{"other": "other"}, {"nodeAffinity": {}}]


def rendered(values):
    """What Helm makes of them, its own words where it refuses."""
    done = helm("template", "demo", str(CHART), values=values)
    return done.stdout if done.returncode == 0 else next(line for line in done.stderr.splitlines() if "Error" in line)


def has_an_effect(path, default):
    needs = next((more for prefix, more in NEEDS.items() if f"{path}.".startswith(f"{prefix}.")), {})
    found = [scenario.values[0] for scenario in scenarios("relay")]
    for base in [*found, *(merged(values, needs) for values in found)] if needs else found:
        before = rendered(base)
        for other in others(default):
            after = rendered(put(base, path, other))
            if after != before and ("ERROR: " in after or not after.startswith("Error")):
                return True
    return False


@pytest.mark.parametrize(("path", "default"), [pytest.param(*leaf, id=leaf[0]) for leaf in LEAVES])
def test_a_value_changes_what_is_rendered(path, default):
    assert has_an_effect(path, default)


@pytest.mark.parametrize("path", [path for path, _ in LEAVES])
def test_a_value_has_a_sentence_and_its_type_in_the_schema(path):
    place = SCHEMA
    for name in path.split("."):
        if "properties" not in place:
            break  # a map whose content is Kubernetes'
        place = place["properties"][name]
    assert place["type"]
    text = (CHART / "values.yaml").read_text()
    documented = path if path.split(".")[0] not in ("settings", "resources") else ".".join(path.split(".")[:2])
    name = "settings" if documented.startswith("settings") else documented.rpartition(".")[2]
    assert re.search(rf"# -- .+\n\s*{name}:", text)


@pytest.mark.parametrize("path", [pytest.param(path, id=path or "top") for path in MAPS])
def test_a_misspelt_value_is_refused_wherever_it_stands(path):
    values = put(next(iter(scenarios("relay"))).values[0], f"{path}.misspelt".strip("."), 1)
    assert "additional properties 'misspelt' not allowed" in refusal("relay", values)
