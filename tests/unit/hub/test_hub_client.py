import socket

import pytest
from hub_parts import TOKEN, hub_of
from pydantic import SecretStr

from xperience.common.errors import BadDataError, RefusedError, UnavailableError, UsageError
from xperience.hub.client import Hub


def test_a_valid_token_tells_the_user(hub):
    assert hub.check_token() == "standin"


def test_a_missing_and_a_wrong_token_are_refused_with_different_messages(standin):
    with pytest.raises(RefusedError, match="no hub token"):
        hub_of(standin, None).check_token()
    with pytest.raises(RefusedError, match="does not accept the token") as raised:
        hub_of(standin, "hf_wrong_secret").check_token()
    assert "hf_wrong_secret" not in str(raised.value)


def test_a_token_in_the_home_folder_is_not_used(standin, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(RefusedError, match="asks for a token"):
        hub_of(standin, None).check_access("main", None)


def test_access_is_given_where_gate_revision_and_probe_file_are(hub, standin):
    hub.check_access(standin.commit, "a folder é/x#y?.mp4")


def test_a_gate_that_is_not_approved_says_where_to_ask(hub, standin):
    standin.gate = "not_approved"
    with pytest.raises(RefusedError, match=f"gate is not approved.*{standin.endpoint}/datasets/org/data"):
        hub.check_access("main", None)


def test_an_open_repository_needs_no_token(standin):
    standin.gate = "open"
    hub_of(standin, None).check_access("main", "big0.bin")


@pytest.mark.parametrize(
    ("revision", "probe", "says"),
    [("f" * 40, None, "revision is not on the hub"), ("main", "no/such.file", "no/such.file")],
)
def test_a_missing_revision_or_probe_file_is_bad_data(hub, revision, probe, says):
    with pytest.raises(BadDataError, match=says):
        hub.check_access(revision, probe)


def test_a_missing_repository_and_a_malformed_name_are_told_apart(standin):
    other = Hub("org/other", endpoint=standin.endpoint, token=SecretStr(TOKEN), timeout_seconds=5)
    with pytest.raises(BadDataError, match="repository is not on the hub"):
        other.resolve_revision("main")
    with pytest.raises(UsageError, match="not a repository id"):
        Hub("a/b/c", endpoint=standin.endpoint, token=None, timeout_seconds=5).resolve_revision("main")


def test_a_hub_that_cannot_be_reached_is_unavailable(standin):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    nobody = Hub("o/d", endpoint=f"http://127.0.0.1:{port}", token=SecretStr(TOKEN), timeout_seconds=5, retries=0)
    with pytest.raises(UnavailableError, match=r"cannot be reached.*HF_ENDPOINT"):
        nobody.check_token()


def test_a_hub_that_falls_silent_is_unavailable_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        silent = Hub("o/d", endpoint=endpoint, token=SecretStr(TOKEN), timeout_seconds=0.2, retries=0)
        with pytest.raises(UnavailableError, match="ReadTimeout"):
            silent.identities(["a"], "main")


def test_a_branch_is_resolved_to_its_commit(hub, standin):
    assert hub.resolve_revision("main") == standin.commit


def test_identities_have_the_lfs_hash_or_else_the_git_blob_id_and_leave_out_what_is_missing(hub, standin):
    found = hub.identities(["big0.bin", "readme.txt", "no/such.file"], standin.commit)
    assert sorted(found) == ["big0.bin", "readme.txt"]
    assert found["big0.bin"].git_sha1 is None
    assert len(found["big0.bin"].sha256 or "") == 64
    assert found["readme.txt"].sha256 is None
    assert len(found["readme.txt"].git_sha1 or "") == 40


def test_up_to_a_thousand_paths_are_one_call(hub, standin):
    hub.identities([f"path {number}" for number in range(1000)], "main")
    assert sum(standin.log.served().api_calls.values()) == 1
    hub.identities([f"path {number}" for number in range(1001)], "main")
    assert sum(standin.log.served().api_calls.values()) == 3


def test_the_listing_follows_the_pages_and_holds_files_alone(hub, standin):
    standin.page_size = 2
    listed = hub.listing("main")
    assert [identity.path for identity in listed] == standin.contents.paths()
    assert listed == [hub.identities([entry.path], "main")[entry.path] for entry in listed]


def test_an_overloaded_api_is_asked_again_as_often_as_allowed(standin):
    standin.faults.add("unavailable", route="api", times=2)
    assert hub_of(standin, retries=2).check_token() == "standin"
    standin.faults.add("unavailable", route="api", times=2)
    with pytest.raises(UnavailableError, match="HTTP 503"):
        hub_of(standin, retries=1).check_token()
