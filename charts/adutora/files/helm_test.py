"""`helm test`: is what the chart installed there, does it answer, and do the stores behave as the lake needs?

Runs in the image of the stages. Each check prints one line; the exit code is the number of those that failed.
"""

import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECRETS = Path("/run/adutora/secrets")
PATIENCE_SECONDS = 60


def main() -> int:
    """Run the checks that the environment asks for."""
    checks: list[tuple[str, Callable[[str], str], str | None]] = [
        ("custom resources", kinds, os.environ.get("KUBERNETES_SERVICE_HOST")),
        ("operator", get, os.environ.get("OPERATOR_URL")),
        ("airflow", airflow, os.environ.get("AIRFLOW_URL")),
        ("online store", redis, os.environ.get("REDIS_ADDRESS")),
        ("lake", conditional_put, os.environ.get("S3_URL")),
    ]
    return sum(not passes(name, check, where) for name, check, where in checks if where)


def passes(name: str, check: Callable[[str], str], where: str) -> bool:
    """Try until it passes or patience ends: right after an install, parts are still starting."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            say(f"ok      {name}: {check(where)}")
            return True
        except (OSError, ValueError, httpx.HTTPError) as error:
            if time.monotonic() > deadline:
                say(f"FAILED  {name}: {error}")
                return False
        time.sleep(2)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def get(url: str, headers: dict[str, str] | None = None, tls: ssl.SSLContext | bool = True) -> str:
    """Return the body of a GET. Raises HTTPError for any answer but 2xx."""
    return httpx.get(url, headers=headers, timeout=10, verify=tls).raise_for_status().text


def kinds(host: str) -> str:
    """Ask the API server for the kinds of our group."""
    address = f"[{host}]" if ":" in host else host
    url = f"https://{address}:{os.environ['KUBERNETES_SERVICE_PORT']}/apis/adutora.dev/v1alpha1"
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    group = json.loads(get(url, headers, context))
    found = {resource["kind"] for resource in group["resources"]}
    if missing := {"Pipeline", "PipelineRevision", "Project"} - found:
        raise ValueError(f"no {', '.join(sorted(missing))} in adutora.dev/v1alpha1; install with crds.install=true")
    return ", ".join(sorted(found))


def airflow(url: str) -> str:
    """Return the health of Airflow's parts; the database and the scheduler must be well."""
    parts = json.loads(get(f"{url}/api/v2/monitor/health"))
    states = {name: part["status"] for name, part in parts.items() if part["status"]}
    if ill := sorted(name for name, state in states.items() if state != "healthy"):
        raise ValueError(f"not healthy: {', '.join(ill)}")
    return f"healthy: {', '.join(sorted(states))}"


def redis(address: str) -> str:
    """Log in to Redis and ping it."""
    host, _, port = address.rpartition(":")
    password = (SECRETS / "online" / "password").read_bytes()
    with socket.create_connection((host, int(port)), timeout=10) as link:
        link.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n*1\r\n$4\r\nPING\r\n" % (len(password), password))
        answer = b""
        while answer.count(b"\r\n") < 2 and (more := link.recv(1024)):
            answer += more
    if b"+PONG" not in answer:
        raise ValueError(f"Redis at {address} answers {answer.decode(errors='replace').strip()!r}")
    return "answers with its password"


def conditional_put(url: str) -> str:
    """Write one object twice with `If-None-Match: *`: a lake is safe only where the second is refused."""
    target = f"{url}/_adutora/helm-test/{time.time_ns()}"
    try:
        signed("PUT", target, b"first", {"if-none-match": "*"}).raise_for_status()
        second = signed("PUT", target, b"second", {"if-none-match": "*"})
        if second.status_code in (httpx.codes.CONFLICT, httpx.codes.PRECONDITION_FAILED):
            return "refuses to overwrite with If-None-Match"
        second.raise_for_status()
        raise ValueError("a second write with If-None-Match: * was accepted: two writers would lose each other's rows")
    finally:
        signed("DELETE", target, b"", {})


def signed(method: str, url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """Send a request with an AWS signature, version 4."""
    access, secret = ((SECRETS / "lake" / key).read_text() for key in ("accessKey", "secretKey"))
    parts = urlsplit(url)
    now, digest = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    scope = f"{now[:8]}/{os.environ['S3_REGION']}/s3/aws4_request"
    all_headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": now, **headers}
    names = ";".join(sorted(all_headers))
    lines = "".join(f"{name}:{all_headers[name]}\n" for name in sorted(all_headers))
    canonical = f"{method}\n{parts.path}\n\n{lines}\n{names}\n{digest}"
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return httpx.request(method, url, content=body, headers={**all_headers, "authorization": credential}, timeout=10)


if __name__ == "__main__":
    sys.exit(main())
