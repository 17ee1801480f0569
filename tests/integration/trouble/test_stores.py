"""Stores that are down before, during and after, that fail now and then, or answer slowly."""

import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from deltalake import DeltaTable

from tests.integration.gateway import ACCESS, SECRET, Gateway, free_port
from tests.integration.proxy import Proxy
from tests.integration.trouble.conftest import Lab, rows_of, until

pytestmark = pytest.mark.integration

PUBLISH: list[dict[str, Any]] = [
    {"name": "make", "sql": {"query": "SELECT i AS id, 'v' || $(params.v) AS v FROM range($(params.rows)) t(i)"}, "output": {"table": "gold.t"}},
    {"name": "publish", "input": {"table": "gold.t"}, "publish": {"key": ["id"], "prefix": "t"}},
]  # fmt: skip
PARAMS = [{"name": "rows", "type": "integer", "default": 100}, {"name": "v", "type": "integer", "default": 1}]


def publishing(lab: Lab, port: int, **more: Any) -> None:
    lab.project(connections=[{"name": "online", "redis": {"host": "127.0.0.1", "port": port}}])
    lab.pipeline(PUBLISH[0], {**PUBLISH[1], **more}, params=PARAMS)


@pytest.mark.slow
def test_redis_is_down_before(lab: Lab, start_redis: Callable[..., Any]) -> None:
    server = start_redis()
    server.stop()
    publishing(lab, server.port, retries=0)
    result = lab.run()
    stage = result.stage("publish")
    assert result.code == 75, result.text
    assert f"127.0.0.1:{server.port}" in stage["error"]
    assert result.stage("make")["status"] == "succeeded"
    server.start()
    version = lab.version("gold.t")
    done = lab.ok("--resume", "last")
    assert done.stage("publish")["metrics"]["published"] == 100
    assert lab.version("gold.t") == version
    with redis.Redis(port=server.port, decode_responses=True) as client:
        assert client.hgetall("t:7") == {"id": "7", "v": "v1"} or client.hgetall("t:7") == {"v": "v1"}


@pytest.mark.slow
def test_redis_dies_while_it_is_written(lab: Lab, start_redis: Callable[..., Any]) -> None:
    """Every hash is whole at any moment, and the retry completes the set."""
    server = start_redis()
    publishing(lab, server.port)
    process = lab.start("-p", "rows=150000", "--output", "json")
    with redis.Redis(port=server.port, decode_responses=True) as client:
        until(lambda: client.dbsize() > 5_000, 30, 0.0005)
    server.stop()
    time.sleep(0.5)
    server.start()
    result = lab.wait(process, 60)
    assert result.code == 0, result.text
    with redis.Redis(port=server.port, decode_responses=True) as client:
        keys = list(client.scan_iter("t:*", count=10_000))
        assert sum(key.split(":")[1].isdigit() for key in keys) == 150_000


def test_redis_is_emptied_after(lab: Lab, start_redis: Callable[..., Any]) -> None:
    """What the store lost comes back with the next run, though nothing has changed."""
    server = start_redis()
    publishing(lab, server.port)
    lab.ok()
    server.stop()
    server.start()
    lab.ok()
    with redis.Redis(port=server.port, decode_responses=True) as client:
        assert sum(key.split(":")[1].isdigit() for key in client.scan_iter("t:*")) == 100


# S3


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Gateway]:
    made = Gateway(program("versitygw"), tmp_path_factory.mktemp("s3"), "lake", "--nometa")
    yield made
    made.stop()


@pytest.fixture
def proxy(gateway: Gateway) -> Iterator[Callable[..., tuple[Proxy, int]]]:
    servers: list[ThreadingHTTPServer] = []

    def make(**how: Any) -> tuple[Proxy, int]:
        made = Proxy(gateway.port, **how)
        servers.append(made.serve())
        return made, int(servers[-1].server_address[1])

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


STAGES: list[dict[str, Any]] = [
    {"name": "land", "ingest": {"files": {"path": "data/*.csv", "read": "new"}}, "output": {"table": "bronze.o", "mode": "append"}},
    {
        "name": "latest", "inputs": [{"table": "bronze.o", "read": "new"}], "sql": {"query": "SELECT id, amount, _loaded_at FROM bronze.o"},
        "output": {"table": "silver.o", "mode": "merge", "latestBy": "_loaded_at"},
    },
    {"name": "sum", "inputs": [{"table": "silver.o"}], "sql": {"query": "SELECT sum(amount) AS s, count(*) AS n FROM silver.o"}, "output": {"table": "gold.o"}},
]  # fmt: skip
TABLES = [
    {"name": "silver.o", "key": ["id"], "checks": [{"range": {"column": "amount", "min": 0}, "onFail": "quarantine"}]}
]
NAMES = ("bronze.o", "silver.o", "gold.o", "silver.o__rejected")


def on_s3(lab: Lab, port: int, prefix: str) -> dict[str, str]:
    """Let the lake be a bucket; return the options to look into it."""
    lab.lake = ""
    endpoint = f"http://127.0.0.1:{port}"
    lab.project(
        lake={"root": f"s3://lake/{prefix}", "connection": "store"},
        connections=[{"name": "store", "s3": {"bucket": "lake", "endpoint": endpoint}, "secretRef": {"name": "store"}}],
    )
    secrets = lab.root / ".adutora/secrets/store"
    secrets.mkdir(parents=True, exist_ok=True)
    (secrets / "accessKey").write_text(ACCESS)
    (secrets / "secretKey").write_text(SECRET)
    lab.pipeline(*STAGES, tables=TABLES)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


def load(lab: Lab, number: int) -> None:
    lab.file(
        f"data/{number}.csv",
        "id,amount\n" + "".join(f"{i},{(i * number) % 97 - 2}\n" for i in range(number * 100, number * 100 + 300)),
    )


def local_result(tmp_path: Path) -> dict[str, Any]:
    calm = Lab(tmp_path / "calm", tmp_path / "calm-state", str(tmp_path / "calm-lake"))
    calm.root.mkdir()
    calm.pipeline(*STAGES, tables=TABLES)
    for number in (1, 2):
        load(calm, number)
        calm.ok()
    return {name: calm.rows(name) for name in NAMES}


def stands(options: dict[str, str], gateway: Gateway, prefix: str) -> dict[str, Any]:
    options = {**options, "AWS_ENDPOINT_URL": gateway.uri()}
    return {
        name: rows_of(DeltaTable(f"s3://lake/{prefix}/{name.replace('.', '/')}", storage_options=options))
        for name in NAMES
    }


@pytest.mark.slow
def test_a_lake_on_s3_is_as_a_local_one(lab: Lab, gateway: Gateway, tmp_path: Path) -> None:
    options = on_s3(lab, gateway.port, "plain")
    for number in (1, 2):
        load(lab, number)
        lab.ok()
    lab.ok()
    assert stands(options, gateway, "plain") == local_result(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"fail": 8}, {"delay": 0.04}], ids=["503", "slow"])
def test_s3_fails_now_and_then_or_is_slow(
    lab: Lab, gateway: Gateway, proxy: Callable[..., Any], tmp_path: Path, how: dict[str, Any]
) -> None:
    made, port = proxy(**how)
    prefix = "-".join(how)
    options = on_s3(lab, port, prefix)
    for number in (1, 2):
        load(lab, number)
        made.failed = 0
        lab.ok(timeout=120)
    assert made.seen > 20
    assert stands(options, gateway, prefix) == local_result(tmp_path)


@pytest.mark.slow
def test_s3_is_gone(lab: Lab, gateway: Gateway) -> None:
    port = free_port()
    on_s3(lab, port, "gone")
    lab.pipeline(STAGES[0], defaults={"retries": 0})
    load(lab, 1)
    result = lab.run(timeout=120)
    assert result.code == 75, result.text
    assert "bronze.o" in result.stage("land")["error"] or "ledger" in result.stage("land")["error"]


def test_s3_refuses_the_keys(lab: Lab, gateway: Gateway) -> None:
    on_s3(lab, gateway.port, "refused")
    (lab.root / ".adutora/secrets/store/secretKey").write_text("wrong-password")
    load(lab, 1)
    result = lab.run()
    assert result.code == 78, result.text
    assert result.stage("land")["tries"] == 1
    assert "wrong-password" not in result.text
