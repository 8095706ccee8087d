import json

import pytest

from xperience.cluster.api import open_cluster


@pytest.mark.parametrize(
    ("namespace", "context", "found"),
    [("", "", "mine"), ("", "other", "theirs"), ("", "plain", "default"), ("given", "other", "given")],
)
def test_without_a_namespace_it_is_that_of_the_context_meant(tmp_path, monkeypatch, namespace, context, found):
    def of(name, **fields):
        return {"name": name, "context": {"cluster": "c", "user": "u", **fields}}

    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "current",
        "contexts": [of("current", namespace="mine"), of("other", namespace="theirs"), of("plain")],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    monkeypatch.setattr("xperience.cluster.api.POD_NAMESPACE", tmp_path / "not in a pod")
    assert open_cluster(namespace, context).namespace == found
