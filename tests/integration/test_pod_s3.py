"""A stage's pod whose lake and files are on a real S3 gateway."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway import Gateway
from tests.unit.test_pod import OUTPUT, RUN, PodBench

pytestmark = pytest.mark.integration
BASE = "files/team/shop"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Gateway]:
    server = Gateway(program("versitygw"), tmp_path_factory.mktemp("gateway"))
    yield server
    server.stop()


def place(request: Any) -> str:
    """A folder of each test's own, without the access key, which is masked wherever it stands."""
    return str(request.node.name).removeprefix("test_")


@pytest.fixture
def pod(tmp_path: Path, gateway: Gateway, request: pytest.FixtureRequest) -> PodBench:
    bench = PodBench(tmp_path)
    bench.secret("lake", accessKey="test", secretKey="secret-key")
    name = place(request)
    bench.project = {
        "files_root": f"s3://uploads/{name}",
        "lake": {"root": f"s3://uploads/{name}-lake", "connection": "lake", "layers": {}},
        "connections": {
            "lake": {
                "name": "lake", "secretRef": {"name": "lake"},
                "s3": {"bucket": "uploads", "endpoint": f"http://127.0.0.1:{gateway.port}"},
            },
        },
    }  # fmt: skip
    return bench


def put(gateway: Gateway, name: str, path: str, text: str) -> None:
    gateway.put(f"{name}/team/shop/{path}", text.encode())


def test_files_come_and_the_outcome_goes(pod: PodBench, gateway: Gateway, request: Any) -> None:
    name = place(request)
    put(gateway, name, "data/a.csv", "a\n1\n")
    put(gateway, name, "data/b.csv", "a\n2\n")
    put(gateway, name, "other.csv", "a\n3\n")
    gateway.put(f"{name}/team/shop2/data/c.csv", b"a\n4\n")
    inputs = ({"name": "rows", "file": "data/*.csv"},)
    config = pod.config(block={"query": "SELECT * FROM rows"}, inputs=inputs, output=OUTPUT, connections=("lake",))
    ended = pod.run(pod.env(config))
    assert ended.code == 0, ended.log
    assert ended.message["rowsOut"] == 2
    assert sorted(path.name for path in (pod.work / "files").rglob("*.csv")) == ["a.csv", "b.csv"]
    uri = f"s3://uploads/{name}-lake/_adutora/outcomes/team.shop/{RUN['id']}/stage.1.json"
    assert ended.message["uri"] == uri
    stored = json.loads((gateway.bucket / uri.removeprefix("s3://uploads/")).read_bytes())
    assert stored["rowsOut"] == 2
    assert "secret-key" not in ended.log + json.dumps(stored)


def test_a_file_is_new_once_however_often_it_is_fetched(pod: PodBench, gateway: Gateway, request: Any) -> None:
    put(gateway, place(request), "in/a.csv", "a\n1\n2\n")
    block = {"files": {"path": "in/*.csv", "read": "new"}}
    output = {"table": "bronze.a", "mode": "append"}
    config = pod.config(kind="ingest", block=block, output=output, connections=("lake",))
    first = pod.run(pod.env(config, run=RUN | {"id": "r-1"}))
    assert (first.code, first.message["rowsOut"]) == (0, 2), first.log
    (pod.work / "files" / "in" / "a.csv").unlink()
    second = pod.run(pod.env(config, run=RUN | {"id": "r-2"}))
    assert (second.code, second.message["rowsOut"]) == (0, 0), second.log


def test_a_cached_stage_knows_a_file_that_is_fetched_again(pod: PodBench, gateway: Gateway, request: Any) -> None:
    put(gateway, place(request), "a.csv", "a\n1\n")
    inputs = ({"name": "rows", "file": "a.csv"},)
    block = {"query": "SELECT * FROM rows"}
    config = pod.config(block=block, inputs=inputs, output=OUTPUT, cache=True, connections=("lake",))
    assert pod.run(pod.env(config)).message["cached"] is False
    (pod.work / "files" / "a.csv").unlink()
    assert pod.run(pod.env(config)).message["cached"] is True


def test_a_users_package_comes_whole(pod: PodBench, gateway: Gateway, request: Any) -> None:
    name = place(request)
    put(gateway, name, "shoplib/__init__.py", "")
    put(
        gateway, name, "shoplib/code.py", "from shoplib.deep import names\ndef rows(inputs):\n    return names.rows()\n"
    )
    put(
        gateway,
        name,
        "shoplib/deep/names.py",
        "import json, pathlib\ndef rows():\n    return json.loads((pathlib.Path(__file__).parent / 'names.json').read_text())\n",
    )
    put(gateway, name, "shoplib/deep/names.json", '[{"a": 1}, {"a": 2}]')
    put(gateway, name, "large.csv", "a\n")
    config = pod.config(kind="python", block={"function": "shoplib.code:rows"}, output=OUTPUT, connections=("lake",))
    ended = pod.run(pod.env(config))
    assert (ended.code, ended.message["rowsOut"]) == (0, 2), ended.log
    assert not (pod.work / "files" / "large.csv").exists()


def test_what_is_missing_is_named_by_its_uri(pod: PodBench, gateway: Gateway, request: Any) -> None:
    name = place(request)
    put(gateway, name, "orders.csv", "a\n1\n")
    config = pod.config(inputs=({"name": "rows", "file": "order.csv"},), output=OUTPUT, connections=("lake",))
    ended = pod.run(pod.env(config))
    assert ended.code == 65
    assert ended.message["error"] == f"no file matches 'order.csv' in s3://uploads/{name}/team/shop"
    assert "orders.csv" in ended.message["hint"]
    assert "adutora push" in ended.message["hint"]
    module = pod.run(pod.env(pod.config(kind="python", block={"function": "nope:f"}, connections=("lake",))))
    assert (module.code, f"s3://uploads/{name}/team/shop" in module.message["error"]) == (78, True)


def test_an_error_in_a_file_names_it_as_the_user_does(pod: PodBench, gateway: Gateway, request: Any) -> None:
    pod.work = Path(tempfile.mkdtemp(prefix="pod-"))
    name = place(request)
    put(gateway, name, "bad.py", "def f(inputs):\n    raise ValueError(__file__)\n")
    ended = pod.run(pod.env(pod.config(kind="python", block={"function": "bad:f"}, connections=("lake",))))
    assert ended.code == 65
    assert str(pod.work) not in ended.message["error"]
    assert f"s3://uploads/{name}/team/shop/bad.py" in ended.message["error"]
    shutil.rmtree(pod.work)


def test_more_than_scratch_is_refused_before_it_is_fetched(pod: PodBench, gateway: Gateway, request: Any) -> None:
    put(gateway, place(request), "a.csv", "a\n" * 1000)
    resources = {"cpu": 1000, "memory": 1 << 30, "scratch": 1000}
    config = pod.config(
        inputs=({"name": "rows", "file": "a.csv"},), output=OUTPUT, connections=("lake",), resources=resources
    )
    ended = pod.run(pod.env(config))
    assert ended.code == 78
    assert ended.message["error"] == "1 file: 2,000 bytes, and the stage's scratch is 1,000"


def test_a_lake_that_is_down_is_temporary_and_told(pod: PodBench) -> None:
    pod.project["connections"]["lake"]["s3"]["endpoint"] = "http://127.0.0.1:1"
    ended = pod.run(pod.env(pod.config(output=OUTPUT, connections=("lake",))))
    assert ended.code == 75
    assert "could not be stored" in ended.message["message"]
    assert ended.message["uri"] is None


def test_keys_that_are_refused_are_no_reason_to_try_again(pod: PodBench) -> None:
    pod.secret("lake", accessKey="test", secretKey="wr0ng-secret")
    ended = pod.run(
        pod.env(pod.config(inputs=({"name": "rows", "file": "a.csv"},), output=OUTPUT, connections=("lake",)))
    )
    assert ended.code == 78
    assert "wr0ng-secret" not in ended.raw.decode() + ended.log
