# A client on boto3 for `lab clients`: one process that asks AWS who it is, twice a second, and prints a line for each answer.
import time

import boto3

client = boto3.client("sts")
while True:
    try:
        print("ok", client.get_caller_identity()["Arn"], flush=True)
    except Exception as error:  # whatever it is, it is what a user would see
        print("failed", type(error).__name__, " ".join(str(error).split()), flush=True)
    time.sleep(0.5)
