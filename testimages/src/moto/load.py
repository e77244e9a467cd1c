"""Puts the blocks of a raw image that are not all zero into a new snapshot; prints its id.

usage: load.py ENDPOINT REGION IMAGE TAGS, where TAGS is a JSON object
"""

import base64
import hashlib
import json
import sys

import boto3

BLOCK_SIZE = 512 * 1024
GIB = 1 << 30

endpoint, region, image, tags = sys.argv[1:]
ebs = boto3.client(
    "ebs", endpoint_url=endpoint, region_name=region, aws_access_key_id="test", aws_secret_access_key="test"
)
with open(image, "rb") as file:
    size = file.seek(0, 2)
    file.seek(0)
    snapshot = ebs.start_snapshot(
        VolumeSize=max(1, -(-size // GIB)),
        Tags=[{"Key": key, "Value": value} for key, value in json.loads(tags).items()],
    )["SnapshotId"]
    written = 0
    for index in range(-(-size // BLOCK_SIZE)):
        block = file.read(BLOCK_SIZE).ljust(BLOCK_SIZE, b"\0")
        if block.count(0) == BLOCK_SIZE:
            continue
        ebs.put_snapshot_block(
            SnapshotId=snapshot,
            BlockIndex=index,
            BlockData=block,
            DataLength=BLOCK_SIZE,
            Checksum=base64.b64encode(hashlib.sha256(block).digest()).decode(),
            ChecksumAlgorithm="SHA256",
        )
        written += 1
ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=written)
print(snapshot)
