import json

import pytest
from conftest import CHARTS, one, render
from test_relay_chart import SSH, with_values

KINDS = {"podMonitor": "PodMonitor", "prometheusRule": "PrometheusRule", "dashboard": "ConfigMap"}


def objects_of(**metrics):
    return [
        item for item in render("relay", with_values(SSH, metrics=metrics)) if "rclone" not in item["metadata"]["name"]
    ]


@pytest.mark.parametrize(("value", "kind"), KINDS.items())
def test_what_monitors_is_made_when_it_is_asked_for_and_labelled_as_its_reader_selects(value, kind):
    assert kind not in {item["kind"] for item in objects_of()}
    found = one(objects_of(**{value: {"enabled": True, "labels": {"release": "prometheus"}}}), kind)
    assert found["metadata"]["labels"]["release"] == "prometheus"
    assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"


@pytest.mark.parametrize("value", ["podMonitor", "prometheusRule"])
def test_nothing_watches_metrics_that_are_not_served(value):
    kinds = {item["kind"] for item in objects_of(**{"enabled": False, value: {"enabled": True}})}
    assert KINDS[value] not in kinds


def test_the_dashboard_reaches_grafana_as_it_is():
    found = one(objects_of(dashboard={"enabled": True}), "ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    ((name, text),) = found["data"].items()
    assert name.endswith(".json")
    assert text == (CHARTS / "relay" / "dashboards" / "relay.json").read_text()


def test_a_label_of_the_values_wins_over_the_dashboards_own():
    found = one(objects_of(dashboard={"enabled": True, "labels": {"grafana_dashboard": "relay"}}), "ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "relay"


def test_the_panels_of_the_dashboard_do_not_overlap():
    dashboard = json.loads((CHARTS / "relay" / "dashboards" / "relay.json").read_text())
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
