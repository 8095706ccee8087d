import hashlib
import threading

import pytest

from xperience.common.files import git_blob_sha1_of_file
from xperience.hub.digests import digest_file


def etag(content: bytes, part_bytes: int) -> str:
    parts = [content[at : at + part_bytes] for at in range(0, max(len(content), 1), part_bytes)]
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 12_288, 3_000_001])
@pytest.mark.parametrize("part_bytes", [4096, 1_500_000])
def test_one_read_gives_sha256_git_id_md5_and_the_etag_of_a_multipart_upload(tmp_path, size, part_bytes):
    content = hashlib.shake_256(b"x").digest(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    found = digest_file(path, part_bytes=part_bytes, with_git_sha1=True)
    assert found is not None
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.git_sha1 == git_blob_sha1_of_file(path)
    assert found.md5 == (hashlib.md5(content).hexdigest() if size <= part_bytes else None)
    assert found.multipart_etag == etag(content, part_bytes)


def test_without_part_size_no_md5_is_computed(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    found = digest_file(tmp_path / "file", part_bytes=None, with_git_sha1=False)
    assert found is not None
    assert (found.git_sha1, found.md5, found.multipart_etag) == ("", None, None)


def test_a_hash_pass_ends_when_the_download_ends(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    ended = threading.Event()
    ended.set()
    assert digest_file(tmp_path / "file", part_bytes=None, with_git_sha1=False, ended=ended) is None
