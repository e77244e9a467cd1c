"""Makes the calls of AWS services that its standard input names, one JSON object a line, and prints their results.

usage: drive.py ENDPOINT REGION ACCESS_KEY SECRET_KEY
"""

import base64
import hashlib
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

endpoint, region, access_key, secret_key = sys.argv[1:]
config = Config(retries={"total_max_attempts": 1}, read_timeout=10)
session = boto3.Session(
    aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region
)
clients = {}


def call(service, operation, arguments):
    if service not in clients:
        clients[service] = session.client(service, endpoint_url=endpoint, config=config)
    client = clients[service]
    try:
        reply = getattr(client, operation)(**arguments)
        del reply["ResponseMetadata"]
        if "BlockData" in reply:
            data = reply["BlockData"].read()
            reply["BlockData"] = {
                "length": len(data),
                "sha256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
            }
        return {"ok": reply}
    except ClientError as error:
        reply = error.response
        return {
            "error": {
                "type": type(error).__name__,
                "code": reply["Error"]["Code"],
                "message": reply["Error"]["Message"],
                "reason": reply.get("Reason"),
                "status": reply["ResponseMetadata"]["HTTPStatusCode"],
            }
        }
    except BotoCoreError as error:
        return {"error": {"type": type(error).__name__, "message": str(error)}}


for line in sys.stdin:
    print(json.dumps(call(**json.loads(line)), default=str), flush=True)
