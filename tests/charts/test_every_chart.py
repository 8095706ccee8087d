"""What holds for every scenario of every chart that can be installed."""

import tarfile

import kubernetes_validate
import pytest
import yaml
from conftest import CHARTS, helm, pods, render, scenarios, validate
from test_relay_chart import KUBERNETES, keeps_the_restricted_standard

NAMES = sorted(path.parent.name for path in CHARTS.glob("*/values.yaml"))
EVERY = pytest.mark.parametrize(
    ("chart", "values"),
    [pytest.param(name, *found.values, id=f"{name}-{found.id}") for name in NAMES for found in scenarios(name)],
)
MAJORS = pytest.mark.parametrize("major", ["4", "3"])


def test_these_are_the_charts():
    assert NAMES == ["cosmos3-nano", "prepare", "qwen3-omni", "relay", "windows"]


@EVERY
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_under_the_strict_schema(chart, values, version):
    objects = render(chart, values, f"{version}.0")
    for item in objects:
        if not item["apiVersion"].startswith("monitoring.coreos.com"):  # no schema of it is in the package
            validate(item, version)
    for pod in pods(objects):
        named = pod["metadata"] | {"name": "pod"}
        kubernetes_validate.validate(
            {**pod, "apiVersion": "v1", "kind": "Pod", "metadata": named}, version, strict=True
        )


@EVERY
def test_pods_are_restricted_names_fit_and_no_variable_is_set_twice(chart, values):
    objects = render(chart, values)
    for pod in pods(objects):
        spec = pod["spec"] | {"initContainers": pod["spec"].get("initContainers", [])}
        keeps_the_restricted_standard(spec)
        for container in (*spec["initContainers"], *spec["containers"]):
            names = [variable["name"] for variable in container["env"]]
            assert len(names) == len(set(names))
    assert all(len(item["metadata"]["name"]) <= 63 for item in objects)


@EVERY
@MAJORS
def test_both_helms_lint_it(chart, values, major):
    done = helm("lint", "--strict", str(CHARTS / chart), values=values, major=major)
    assert done.returncode == 0, done.stdout


@EVERY
def test_helm_3_renders_what_helm_4_renders(chart, values):
    assert by_helm(chart, values, "3") == by_helm(chart, values, "4")


def by_helm(chart, values, major):
    done = helm("template", "demo", str(CHARTS / chart), values=values, major=major)
    assert done.returncode == 0, done.stderr
    return sorted((item for item in yaml.safe_load_all(done.stdout) if item), key=yaml.safe_dump)


@pytest.mark.parametrize("chart", NAMES)
def test_a_package_holds_the_library_and_nothing_for_its_makers(chart, tmp_path):
    done = helm("package", str(CHARTS / chart), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        names = package.getnames()
    assert f"{chart}/charts/common/templates/_names.tpl" in names
    assert [name for name in names if f"{chart}/ci/" in name or name.endswith(".gotmpl")] == []
