"""Create the buckets of MLflow's artifacts and of DVC's remote, if they do not exist."""

import os

import boto3
from botocore.exceptions import ClientError

BUCKETS = ("mlflow", "dvc")


def main() -> None:
    store = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for name in BUCKETS:
        try:
            store.create_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise


if __name__ == "__main__":
    main()
