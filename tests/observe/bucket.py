"""Saves a bucket's objects in a folder, or restores them: bucket.py save|restore URL BUCKET FOLDER.

Run with the Python of scripts/services, which has boto3; keys come from the environment.
"""

import sys
from pathlib import Path

import boto3

what, url, bucket, folder = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
client = boto3.client("s3", endpoint_url=url)

if what == "save":
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            path = folder / found["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, found["Key"], str(path))
else:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        client.upload_file(str(path), bucket, str(path.relative_to(folder)))
