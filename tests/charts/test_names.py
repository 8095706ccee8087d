import pytest
import yaml
from conftest import CHARTS, helm, scenarios


@pytest.mark.parametrize("values", scenarios("relay"))
def test_names_fit_whatever_the_release_is_called(values):
    release = "a-release-with-the-longest-name-that-helm-will-accept"
    assert len(release) == 53
    done = helm("template", release, str(CHARTS / "relay"), values=values)
    assert done.returncode == 0, done.stderr
    objects = [item for item in yaml.safe_load_all(done.stdout) if item]
    for item in objects:
        assert len(item["metadata"]["name"]) <= 63, item["metadata"]["name"]
        assert all(len(str(value)) <= 63 for value in item["metadata"]["labels"].values())
    mounted = [
        volume["persistentVolumeClaim"]["claimName"]
        for item in objects if item["kind"] == "Job"
        for volume in item["spec"]["template"]["spec"]["volumes"] if "persistentVolumeClaim" in volume
    ]  # fmt: skip
    claims = [item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"]
    existing = values.get("scratch", {}).get("existingClaim")
    assert set(mounted) == ({existing} if existing else set(claims))
