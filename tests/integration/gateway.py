"""A real S3 gateway for tests: versitygw over a folder, on a free port."""

import socket
import subprocess
import time
from pathlib import Path

from adutora.io.connections import Connection
from adutora.io.objects import ObjectSource, open_source
from adutora.spec.project import S3Connection

ACCESS, SECRET = "test", "secret-key"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """A versitygw with one bucket; a bucket's objects are files in `bucket`."""

    def __init__(self, program: str, folder: Path, bucket: str = "uploads", *options: str) -> None:
        self.port = free_port()
        self.project = folder
        self.bucket = folder / "s3" / bucket
        self.bucket.mkdir(parents=True)
        self.options = {  # of delta-rs
            "AWS_ENDPOINT_URL": self.uri(),
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        command = [program, "--port", f"127.0.0.1:{self.port}", "--access", ACCESS, "--secret", SECRET, "posix"]
        self._log = folder / "gateway.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*command, *options, str(self.bucket.parent)], stdout=log, stderr=log)
        self._wait()

    def uri(self, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object's file behind the gateway's back: it has no ETag then."""
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def source(self, prefix: str | None = None, secret: str = SECRET, bucket: str | None = None) -> ObjectSource:
        secrets = self.project / ".adutora" / "secrets" / "uploads"
        secrets.mkdir(parents=True, exist_ok=True)
        (secrets / "accessKey").write_text(ACCESS)
        (secrets / "secretKey").write_text(secret)
        settings = S3Connection(bucket=bucket or self.bucket.name, prefix=prefix, endpoint=self.uri())
        return open_source(Connection("uploads", "s3", settings, self.project, "uploads"), self.project)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self._log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("versitygw does not answer")
