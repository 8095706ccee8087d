"""A bucket and a prefix in it, asked through boto3: HEAD, lists and ranges; what it answers comes as our errors."""

from dataclasses import dataclass
from typing import Any

from xperience.common.errors import BadDataError, ConfigurationError, RefusedError, UnavailableError, UsageError


@dataclass(frozen=True, slots=True)
class S3Target:
    """A bucket and a prefix in it; the endpoint is empty on AWS."""

    bucket: str
    prefix: str
    endpoint: str
    region: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_s3(text: str, *, endpoint: str, region: str) -> S3Target:
    """s3://bucket[/prefix]."""
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if len(bucket) < 3:
        raise UsageError("not an S3 destination", where=text, why="expected s3://bucket/prefix")
    return S3Target(bucket, prefix.strip("/"), endpoint, region)


class S3Bucket:
    """Its objects by their path under the prefix; shared by all threads. Credentials may be read-only."""

    def __init__(self, target: S3Target) -> None:
        import boto3
        from botocore.config import Config

        self.target = target
        self._client = boto3.client(
            "s3", endpoint_url=target.endpoint or None, region_name=target.region,
            config=Config(
                retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=10, read_timeout=60,
                s3={"addressing_style": "path"} if target.endpoint else {}, max_pool_connections=64,
            ),
        )  # fmt: skip

    def key(self, path: str) -> str:
        """The object's key in the bucket."""
        return f"{self.target.prefix}/{path}" if self.target.prefix else path

    def ask(self, call: str, path: str = "", /, **parameters: Any) -> dict[str, Any] | None:
        """One boto3 call; None where the object is missing; our errors else."""
        import botocore.exceptions

        where = f"{self.target}/{path}".rstrip("/")
        try:
            answer: dict[str, Any] = getattr(self._client, call)(Bucket=self.target.bucket, **parameters)
        except botocore.exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code == "NoSuchBucket" or (call == "head_bucket" and status == 404):
                raise ConfigurationError(
                    "the bucket does not exist", where=str(self.target), fix="Create it, or check --store."
                ) from error
            if status == 404:
                return None
            if status in (401, 403):
                raise RefusedError(
                    "the store refuses these credentials", where=where, why=f"{call}: {code}",
                    fix="They need at least HEAD and List on the prefix.",
                ) from error  # fmt: skip
            raise UnavailableError("the store does not answer as it should", where=where, why=str(error)) from error
        except botocore.exceptions.NoCredentialsError as error:
            raise RefusedError(
                "no credentials for the store", where=where, fix="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from error
        except botocore.exceptions.BotoCoreError as error:
            raise UnavailableError("the store cannot be reached", where=where, why=str(error)) from error
        return answer

    def uploads(self) -> list[tuple[str, str]]:
        """Key and id of each unfinished multipart upload under the prefix, page by page.

        Of a server that says that there is more, but not where (SeaweedFS), those of the first page.
        """
        found: list[tuple[str, str]] = []
        after: dict[str, str] = {}
        while True:
            page = self.ask("list_multipart_uploads", Prefix=self.target.prefix, **after) or {}
            found += [(str(upload["Key"]), str(upload["UploadId"])) for upload in page.get("Uploads", [])]
            if not (page.get("IsTruncated") and page.get("NextKeyMarker")):
                return found
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}

    def read_range(self, path: str, start: int, stop: int, *, etag: str) -> bytes:
        """Bytes [start, stop) of the object that has this ETag; it has to be allowed to read, not HEAD alone.

        BadDataError where the object is gone or has another length there, UnavailableError where it is another one.
        """
        import botocore.exceptions

        where = f"{self.target}/{path}"
        answer = self.ask("get_object", path, Key=self.key(path), Range=f"bytes={start}-{stop - 1}", IfMatch=etag)
        if answer is None:
            raise BadDataError("the object is gone", where=where)
        try:
            content: bytes = answer["Body"].read()
        except botocore.exceptions.BotoCoreError as error:
            raise UnavailableError("the store cannot be reached", where=where, why=str(error)) from error
        if len(content) != stop - start:
            raise BadDataError("the object ends early", where=where, why=f"{len(content)} bytes of {stop - start}")
        return content
