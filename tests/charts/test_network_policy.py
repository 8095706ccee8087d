"""A feature that needs the network has its rule as soon as it is switched on, and none before."""

import pytest
from conftest import one, render
from test_relay_chart import S3, SSH, with_values

DNS = [("UDP", 53), ("TCP", 53), ("UDP", 5353), ("TCP", 5353)]
MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
CLOSED = {"hub__endpoint": "http://hub:8080"}  # so that no other feature needs 443


def policy(values):
    return one(render("relay", values), "NetworkPolicy")["spec"]


def ports(rules):
    return [(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]]


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        pytest.param(SSH, {"store__ssh__host": "me@store"}, [443, 22], id="hub-and-ssh"),
        pytest.param(SSH, {}, [443, 2222], id="ssh-on-another-port"),
        pytest.param(SSH, CLOSED, [8080, 2222], id="hub-on-another-port"),
        pytest.param(S3, {"store__s3__endpoint": "", **CLOSED}, [8080, 443], id="aws"),
        pytest.param(S3, {"store__s3__endpoint": "http://s3:8333", **CLOSED}, [8080, 8333], id="s3-on-another-port"),
        pytest.param(S3, {"store__s3__endpoint": "http://s3", **CLOSED}, [8080, 80], id="s3-without-tls"),
        pytest.param(
            SSH, {"proxyEnv": {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".svc"}, **CLOSED}, [8080, 3128, 2222],
            id="proxy",
        ),
        pytest.param(
            SSH, {"selection": {"url": "https://files:8443/s.json", "sha256": "0" * 64}, **CLOSED}, [8080, 8443, 2222],
            id="selection-from-an-address",
        ),
    ],
)  # fmt: skip
def test_egress_is_dns_and_the_ports_of_what_is_used(base, changes, expected):
    spec = policy(with_values(base, **changes))
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports(spec["egress"]) == [*DNS, *(("TCP", port) for port in expected)]


def test_progress_reaches_the_api_server_and_nothing_else_opens():
    before, after = (policy(with_values(SSH, progress={"enabled": on}, **CLOSED)) for on in (False, True))
    assert set(ports(after["egress"])) - set(ports(before["egress"])) == {("TCP", 443), ("TCP", 6443)}


def test_dns_has_the_ports_of_the_clusters_own():
    found = policy(with_values(SSH, networkPolicy={"dnsPorts": [1053]}))["egress"]
    assert ports(found)[:2] == [("UDP", 1053), ("TCP", 1053)]
    assert not {53, 5353} & {port for _, port in ports(found)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="nobody-named"),
        pytest.param({"networkPolicy": {"monitoringFrom": MONITORING}}, [("TCP", 9464)], id="monitoring"),
        pytest.param(
            {"networkPolicy": {"monitoringFrom": MONITORING}, "metrics": {"port": 9999}}, [("TCP", 9999)], id="port"
        ),
        pytest.param(
            {"networkPolicy": {"monitoringFrom": MONITORING}, "metrics": {"enabled": False}}, [], id="no-metrics"
        ),
    ],
)
def test_ingress_is_the_metrics_port_from_those_who_are_named(changes, expected):
    rules = policy(with_values(SSH, **changes)).get("ingress", [])
    assert ports(rules) == expected
    assert all(rule["from"] == MONITORING for rule in rules)


def test_a_podmonitor_scrapes_the_port_that_the_policy_opens():
    values = with_values(SSH, networkPolicy={"monitoringFrom": MONITORING}, metrics={"podMonitor": {"enabled": True}})
    objects = render("relay", values)
    (endpoint,) = one(objects, "PodMonitor")["spec"]["podMetricsEndpoints"]
    (container,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    (port,) = (port for port in container["ports"] if port["name"] == endpoint["port"])
    assert ports(policy(values)["ingress"]) == [("TCP", port["containerPort"])]
