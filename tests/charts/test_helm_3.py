"""Clusters are still served by Helm 3: it renders and refuses as Helm 4 does."""

import pytest
from conftest import CHARTS, helm
from test_relay_chart import SSH, with_values


def test_these_are_two_versions():
    versions = [helm("version", "--template", "{{.Version}}", major=major).stdout for major in ("3", "4")]
    assert [version.split(".")[0] for version in versions] == ["v3", "v4"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"store": {}}, "ERROR: no store", id="the-charts-own-check"),
        pytest.param({"settings__chunk_sise_mib": 1}, "chunk_sise_mib", id="schema"),
    ],
)
def test_helm_3_refuses_what_helm_4_refuses(changes, message):
    for major in ("3", "4"):
        done = helm("template", "demo", str(CHARTS / "relay"), values=with_values(SSH, **changes), major=major)
        assert done.returncode != 0
        assert message in done.stderr
