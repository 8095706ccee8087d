import pytest

from xperience.common.errors import ConfigurationError, UsageError
from xperience.common.settings.store import StoreSettings
from xperience.store import ssh_access
from xperience.store.base import Expected
from xperience.store.mover import expected_matches, leftovers
from xperience.store.opening import target_of
from xperience.store.rclone import find_rclone
from xperience.store.s3 import s3_config
from xperience.store.s3_bucket import S3Target
from xperience.store.ssh import SshTarget, parse_host, sftp_config


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param("me@store", ("me", "store", 22), id="plain"),
        pytest.param("me@store:2222", ("me", "store", 2222), id="port"),
        pytest.param("me@[::1]:2222", ("me", "::1", 2222), id="ipv6"),
        pytest.param("me@[fe80::1]", ("me", "fe80::1", 22), id="ipv6-without-port"),
        pytest.param("a@b@store", ("a@b", "store", 22), id="at-in-user"),
    ],
)
def test_a_host_is_user_host_and_port(text, parts):
    assert parse_host(text) == parts


@pytest.mark.parametrize("text", ["store", "@store", "me@", "me@store:ssh", "me@fe80::1"])
def test_a_host_without_user_or_with_a_strange_port_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"user@host\[:port\]"):
        parse_host(text)


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        pytest.param(
            {"transfer_host": "me@h", "transfer_root": "/d/x/"}, SshTarget("me", "h", 22, "/d/x"), id="plan-flags"
        ),
        pytest.param({"store": "ssh://me@h:9/d"}, SshTarget("me", "h", 9, "/d"), id="ssh-url"),
        pytest.param({"store": "s3://bucket/a/b/"}, S3Target("bucket", "a/b", "", "us-east-1"), id="s3"),
        pytest.param({"store": "s3://bucket"}, S3Target("bucket", "", "", "us-east-1"), id="s3-no-prefix"),
    ],
)
def test_a_destination_is_read_from_either_flag(settings, target):
    assert target_of(StoreSettings(**settings)) == target


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({}, "no destination", id="none"),
        pytest.param({"store": "s3://b/c", "transfer_host": "me@h"}, "two destinations", id="both"),
        pytest.param({"store": "ftp://x"}, "expected s3://", id="scheme"),
        pytest.param({"store": "s3://b"}, "not an S3 destination", id="short-bucket"),
        pytest.param({"transfer_host": "me@h", "transfer_root": "d"}, "absolute", id="relative-root"),
        pytest.param({"transfer_host": "me@h", "transfer_root": "/"}, "absolute", id="root-of-all"),
    ],
)
def test_a_destination_that_cannot_be_is_a_usage_error(settings, message):
    with pytest.raises(UsageError, match=message):
        target_of(StoreSettings(**settings))


def test_the_sftp_configuration_pins_every_hash_command_and_leaves_connections_open():
    text = sftp_config(SshTarget("me", "h", 22, "/d"), key="/k", known_hosts="/kh")
    assert "sha256sum_command = openssl dgst -sha256 -r" in text
    assert "md5sum_command = none" in text
    assert "known_hosts_file = /kh" in text
    assert "connections" not in text


def test_the_s3_configuration_has_no_key_and_one_cutoff_for_both_ways_of_upload():
    target = S3Target("bucket", "p", "http://h:1", "r")
    text = s3_config(target, provider="Minio", threshold_bytes=64 << 20, part_bytes=16 << 20)
    assert "env_auth = true" in text
    assert "secret" not in text
    assert f"upload_cutoff = {64 << 20}B" in text
    assert "upload_concurrency = 1" in text


def test_only_temporary_names_of_our_own_files_are_leftovers():
    long = "x" * 120
    listing = [
        "s/e/a.mp4", "s/e/a.mp4.0123abcd.partial", "s/e/other.0123abcd.partial", "t/a.mp4.0123abcd.partial",
        "s/e/a.mp4.partial", f"s/e/{long[:100]}.0123abcd.partial", ".xperience-probe-12345678",
    ]  # fmt: skip
    assert leftovers(listing, ["s/e/a.mp4", f"s/e/{long}"]) == [
        "s/e/a.mp4.0123abcd.partial", f"s/e/{long[:100]}.0123abcd.partial", ".xperience-probe-12345678",
    ]  # fmt: skip


def test_an_etag_proves_the_bytes_by_md5_or_by_the_md5s_of_its_parts():
    expected = Expected("ab", 1, md5="m", multipart_etag="p-2")
    assert expected_matches("m", expected) == "s3:etag-md5"
    assert expected_matches("p-2", expected) == "s3:etag-multipart"
    assert expected_matches("p-3", expected) is None
    assert expected_matches("x", expected) is None


def test_a_missing_rclone_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="make rclone"):
        find_rclone(None)
    with pytest.raises(ConfigurationError, match="--rclone"):
        find_rclone(tmp_path / "nothing")


def test_a_named_rclone_wins_over_path(tmp_path, monkeypatch):
    for folder in ("path", "named"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rclone").write_text("#!/bin/sh\n")
        (tmp_path / folder / "rclone").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_rclone(None) == tmp_path / "path" / "rclone"
    assert find_rclone(tmp_path / "named" / "rclone") == tmp_path / "named" / "rclone"


@pytest.mark.parametrize("before", ["", "other rsa AAAA", "other rsa AAAA\n"], ids=["empty", "no end", "end"])
def test_a_host_is_trusted_on_a_line_of_its_own(tmp_path, before):
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(before)
    found = ssh_access.HostKey("me@store", "SHA256:x", "store ssh-ed25519 BBBB")
    ssh_access.trust(found, "SHA256:x", known_hosts)
    assert known_hosts.read_text().splitlines() == [*before.splitlines(), "store ssh-ed25519 BBBB"]


def test_a_damaged_key_is_said_to_be_one(tmp_path):
    for name in ("key", "known_hosts"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigurationError, match=r"the relay's key cannot be read.*relay keygen"):
        ssh_access.check_key("me@127.0.0.1:9", key=tmp_path / "key", known_hosts=tmp_path / "known_hosts")
