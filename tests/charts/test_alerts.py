"""The rendered alerts under promtool, fed with series as pods and kube-state-metrics leave them, a sample each 15 s."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import one, render
from test_relay_chart import SSH, with_values

import xperience.relay.progress  # noqa: F401  registers the relay's metrics
from xperience.common.metrics import REGISTRY

MINUTE = 4  # samples


def relay(name, values, *, pod="demo-relay-1a2b3c4d-xyz12", namespace="data", **labels):
    """A series of a relay's pod, with the labels that its PodMonitor gives."""
    found = {"namespace": namespace, "pod": pod, "job": "relay", **labels}
    return f"xperience_relay_{name}{{{','.join(f'{k}={json.dumps(v)}' for k, v in found.items())}}}", values


def job(name, values, *, job_name="demo-relay-1a2b3c4d", **labels):
    """A series of kube-state-metrics."""
    found = {"namespace": "data", "job_name": job_name, **labels}
    return f"kube_job_{name}{{{','.join(f'{k}={json.dumps(v)}' for k, v in found.items())}}}", values


def legs(download, transfer, verify):
    """Files in work and last progress of the legs, each as a pair of promtool's notations."""
    return [
        relay(name, values, leg=leg)
        for leg, pair in (("download", download), ("transfer", transfer), ("verify", verify))
        for name, values in zip(("files_in_work", "last_progress_timestamp_seconds"), pair, strict=True)
    ]


def scratch(free, headroom):
    return [relay("scratch_bytes", free, kind="free"), relay("scratch_bytes", headroom, kind="headroom")]


HOUR = 60 * MINUTE
MOVING = (f"4x{HOUR}", f"0+15x{HOUR}")
STUCK = (f"4x{HOUR}", f"0x{HOUR}")
WITHOUT_WORK = (f"0x{HOUR}", f"0x{HOUR}")
ENDED_AFTER_5_SECONDS = ("4 stale", "0 stale")
UNKNOWN = " ".join(["NaN"] * HOUR)
CONDITIONS = ("true", "false", "unknown")


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    if not shutil.which("promtool"):
        pytest.skip("promtool is missing: install the Debian package prometheus")
    rule = one(render("relay", with_values(SSH, metrics={"prometheusRule": {"enabled": True}})), "PrometheusRule")
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    return path


def promtool(rules, test):
    path = rules.parent / "test.yaml"
    document = {"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": [test]}
    path.write_text(yaml.safe_dump(document))
    return subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)


def sample(alert):
    """What counts one firing alert, of the name and leg that stand in `alert`."""
    name, _, leg = alert.partition(" ")
    labels = f'alertname="XperienceRelay{name}"' + (f',leg="{leg}"' if leg else "")
    return {"labels": f"{{{labels}}}", "value": 1}


@pytest.mark.parametrize(
    ("series", "at", "expected"),
    [
        pytest.param(legs(MOVING, MOVING, MOVING), "50m", set(), id="all-legs-move"),
        pytest.param(legs(MOVING, STUCK, MOVING), "10m", set(), id="ten-minutes-are-patience"),
        pytest.param(legs(MOVING, STUCK, MOVING), "12m", {"LegStalled transfer"}, id="sending-stalls"),
        pytest.param(legs(STUCK, MOVING, MOVING), "12m", {"LegStalled download"}, id="downloading-stalls"),
        pytest.param(legs(WITHOUT_WORK, WITHOUT_WORK, STUCK), "12m", {"LegStalled verify"}, id="verification-stalls"),
        pytest.param(legs(WITHOUT_WORK, MOVING, MOVING), "50m", set(), id="the-download-has-ended"),
        pytest.param(legs(WITHOUT_WORK, WITHOUT_WORK, WITHOUT_WORK), "12m", {"Idle"}, id="nothing-to-do-and-no-end"),
        pytest.param(legs(*[ENDED_AFTER_5_SECONDS] * 3), "12m", set(), id="a-pod-of-5-s-does-not-stall"),
        pytest.param(
            [job("failed", f"_x3 {int(value == 'true')}x{HOUR}", condition=value) for value in CONDITIONS],
            "2m", {"Failed"}, id="refused-before-the-first-scrape",
        ),
        pytest.param(
            [job("failed", f"_x3 1x{HOUR}", condition="true"), *legs(*[ENDED_AFTER_5_SECONDS] * 3)],
            "12m", {"Failed"}, id="failed-after-5-s",
        ),
        pytest.param(
            [job("failed", f"{int(value == 'false')}x{HOUR}", condition=value) for value in CONDITIONS],
            "2m", set(), id="a-job-that-has-not-failed",
        ),
        pytest.param(
            [job("failed", f"1x{HOUR}", condition="true", job_name="other-relay-1a2b3c4d")],
            "2m", set(), id="the-job-of-another-release",
        ),
        pytest.param(
            [relay("hash_mismatch_total", "1 stale")], "30m", {"HashMismatch"}, id="one-sample-of-a-mismatch-in-5-s"
        ),
        pytest.param([relay("hash_mismatch_total", "1 stale")], "62m", set(), id="a-mismatch-an-hour-ago"),
        pytest.param([relay("hash_mismatch_total", f"0x{HOUR}")], "30m", set(), id="no-mismatch"),
        pytest.param(
            scratch(f"1e9x{HOUR}", f"2e9x{HOUR}"),
            "6m", {"ScratchLow"}, id="scratch-is-filled-by-something-else",
        ),
        pytest.param(
            scratch(f"3e9x{HOUR}", f"2e9x{HOUR}"),
            "30m", set(), id="scratch-above-headroom",
        ),
        pytest.param(
            scratch("1e9 stale", "2e9 stale"),
            "6m", set(), id="scratch-of-a-pod-of-5-s",
        ),
        pytest.param(
            [relay("eta_seconds", f"7200x{HOUR}"), relay("deadline_timestamp_seconds", f"7000x{HOUR}")],
            "20m", {"Late"}, id="late-by-the-pods-own-deadline",
        ),
        pytest.param(
            [
                relay("eta_seconds", f"7200x{HOUR}"), relay("deadline_timestamp_seconds", f"90000x{HOUR}"),
                job("status_start_time", f"-3000x{HOUR}"), job("spec_active_deadline_seconds", f"9000x{HOUR}"),
            ],
            "20m", {"Late"}, id="late-by-the-jobs-deadline-after-another-pod",
        ),
        pytest.param(
            [
                relay("eta_seconds", f"7200-15x{HOUR}"), relay("deadline_timestamp_seconds", f"9000x{HOUR}"),
                job("status_start_time", f"0x{HOUR}"), job("spec_active_deadline_seconds", f"9000x{HOUR}"),
            ],
            "50m", set(), id="in-time",
        ),
        pytest.param(
            [relay("eta_seconds", UNKNOWN), relay("deadline_timestamp_seconds", UNKNOWN)],
            "50m", set(), id="no-estimate-and-no-deadline",
        ),
        pytest.param(
            [relay("eta_seconds", "7200 stale"), relay("deadline_timestamp_seconds", "7000 stale")],
            "20m", set(), id="late-for-5-s",
        ),
    ],
)  # fmt: skip
def test_alerts_fire_when_they_should_and_no_other_does(rules, series, at, expected):
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname, leg) (ALERTS{alertstate="firing"})',
                "eval_time": at,
                "exp_samples": [sample(alert) for alert in sorted(expected)],
            }
        ],
    }
    done = promtool(rules, test)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_says_which_pod_and_what_to_look_at(rules):
    pod = "demo-relay-1a2b3c4d-xyz12"
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in legs(MOVING, STUCK, MOVING)],
        "alert_rule_test": [
            {
                "eval_time": "12m",
                "alertname": "XperienceRelayLegStalled",
                "exp_alerts": [
                    {
                        "exp_labels": {
                            "severity": "warning", "leg": "transfer", "namespace": "data", "pod": pod, "job": "relay",
                        },
                        "exp_annotations": {
                            "summary": f"Leg transfer of data/{pod} has files in work and has moved nothing"
                            " for 12m 0s.",
                            "description": f'Look at "kubectl logs -n data {pod} --all-containers --tail=50": hub or'
                            " store may be away. The relay retries by itself and gives up with exit code 69.",
                        },
                    }
                ],
            }
        ],
    }  # fmt: skip
    done = promtool(rules, test)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_ask_for_metrics_that_the_relay_has(rules):
    asked = set(re.findall(r"xperience_relay_\w+", "".join(rule["expr"] for rule in rules_of(rules))))
    served = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    served |= {family.name for family in REGISTRY.collect()}  # labelled ones, of which this process has no series
    assert asked
    assert asked <= served


def rules_of(path):
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def test_the_relay_knows_the_jobs_deadline():
    objects = render("relay", with_values(SSH, job__activeDeadlineSeconds=1234567))
    (container,) = one(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert {"name": "XPERIENCE_DEADLINE_SECONDS", "value": "1234567"} in container["env"]
