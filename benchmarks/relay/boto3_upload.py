"""Upload a folder as aws-cli does, by boto3's transfer manager at its defaults: 8 MiB parts, 10 threads.

boto3_upload.py FOLDER BUCKET ENDPOINT
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

folder, bucket, endpoint = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda path: client.upload_file(str(path), bucket, f"d/{path.relative_to(folder)}"), files))
