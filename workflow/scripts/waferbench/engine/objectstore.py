"""Whether the bucket that a study writes to answers, asked once before anything is planned."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

from waferbench.base.errors import InputError


def check_bucket(prefix: str, settings: Any) -> None:
    """Ask for a bucket once and quickly; Snakemake would ask for every output, five times each.

    Args:
        prefix: ``s3://bucket/...``
        settings: of Snakemake's S3 plugin: ``endpoint_url``, ``region``, ``access_key``, ``secret_key``, ``token``,
            ``signature_version``.

    Raises:
        InputError: no bucket in the prefix, nothing answers, or the bucket may not be used.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = urlparse(prefix or "").netloc
    if not bucket:
        raise InputError(f"--default-storage-prefix: found {prefix!r}, expected s3://BUCKET or s3://BUCKET/FOLDER")
    attempts = {"total_max_attempts": 1}
    signature = settings.signature_version
    try:
        boto3.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            aws_session_token=settings.token,
            config=Config(signature_version=signature, connect_timeout=10, read_timeout=30, retries=attempts),
        ).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError, ValueError) as error:
        if getattr(error, "response", {}).get("Error", {}).get("Code") == "404":
            return  # it is made with the first upload
        raise InputError(
            f"object storage: {prefix} cannot be used ({error}); start the server, or correct the prefix, "
            "--storage-s3-endpoint-url or the credentials, and run again: what it holds is kept"
        ) from error
