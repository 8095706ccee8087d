import pytest
import yaml
from conftest import CHARTS, one, refusal, render
from test_relay_chart import env_of, with_values

CLAIM = yaml.safe_load((CHARTS / "windows" / "ci" / "claim-values.yaml").read_text())


def test_each_pod_decodes_its_share_and_bad_data_fails_the_job():
    spec = one(render("windows", CLAIM), "Job")["spec"]
    assert (spec["completionMode"], spec["completions"], spec["maxFailedIndexes"]) == ("Indexed", 8, 0)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"] == ["windows", "build"]
    env = env_of(container)
    assert env["XPERIENCE_SHARDS"] == "8"
    assert env["XPERIENCE_MANIFEST_JSON"] == "/data/evidence/episode_manifest_128.json"
    (policy,) = (rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule)
    assert (policy["containerName"], policy["values"]) == ("windows", [64, 65, 73, 77, 78])


def test_a_change_of_settings_shards_or_tries_makes_another_job():
    values = (
        CLAIM, with_values(CLAIM, shards=4), with_values(CLAIM, settings__frame_pixels=512),
        with_values(CLAIM, job__backoffLimitPerShard=2),
    )  # fmt: skip
    assert len({one(render("windows", one_of), "Job")["metadata"]["name"] for one_of in values}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"data__claim": ""}, "data.claim", id="no-claim"),
        pytest.param({"data__windowsPath": "../up"}, "folders in the claim", id="outside"),
        pytest.param({"shards": 0}, "shards", id="no-shard"),
        pytest.param({"settings__frames": 2}, "frames", id="misspelt-setting"),
    ],
)
def test_values_that_cannot_work_stop_before_anything_is_installed(changes, message):
    assert message in refusal("windows", with_values(CLAIM, **changes))
