"""Settings of S3A, by which Spark reads and writes s3:// URLs. They hold keys: for Spark's own memory alone."""

import os
from typing import TYPE_CHECKING

from adutora.io.connections import key_pair

if TYPE_CHECKING:
    from adutora.io.connections import Connection

_PREFIX = "spark.hadoop.fs.s3a."
_ROLE = (
    "software.amazon.awssdk.auth.credentials.WebIdentityTokenFileCredentialsProvider,"
    "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider,"
    "org.apache.hadoop.fs.s3a.auth.IAMInstanceCredentialsProvider"
)
_KEYS = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
# A store that is down is told within a minute or two, and the stage is tried again; not after S3A's quarter of an hour.
_PATIENCE = {
    "attempts.maximum": "5", "retry.limit": "6", "retry.throttle.limit": "7", "connection.establish.timeout": "15s",
    "connection.timeout": "60s", "committer.magic.enabled": "true", "committer.name": "magic",
}  # fmt: skip


def url(uri: str) -> str:
    """Return a URL as Hadoop names it: s3:// is s3a:// there."""
    return f"s3a://{uri.removeprefix('s3://')}" if uri.startswith("s3://") else uri


def settings(connection: "Connection | None") -> dict[str, str]:
    """Return S3A's settings for a connection of type s3; without one, or without keys, the pod's own role is used."""
    found = dict(_PATIENCE)
    region, endpoint = os.environ.get("AWS_REGION"), os.environ.get("AWS_ENDPOINT_URL")
    pair = None
    if connection is not None:
        region, endpoint = connection.settings.region, connection.settings.endpoint
        pair = key_pair(connection)
    if region:
        found["endpoint.region"] = region
    if endpoint:
        found |= {
            "endpoint": endpoint,
            "path.style.access": "true",
            "connection.ssl.enabled": str(not endpoint.startswith("http://")).lower(),
        }
    found["aws.credentials.provider"] = _KEYS if pair else _ROLE
    if pair:
        found["access.key"], found["secret.key"] = pair
    return {f"{_PREFIX}{name}": value for name, value in found.items()}
