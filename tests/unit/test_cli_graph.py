"""`adutora graph`: the text, the picture, and where things stand in it."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from adutora.cli import main
from adutora.compile import compile_pipeline
from adutora.drawing import Edge, Graph, Node, graph_of, svg, text
from adutora.drawing.layout import NODE_HEIGHT, arrange
from adutora.validate import load_pipeline

PIPELINE = """apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  description: 'Skips & <b>tags</b> "quoted"'
  tables:
    - {name: silver.a, checks: [{references: {column: id, table: silver.stores, to: id}, onFail: warn}]}
  stages:
    - {name: up, probe: {connection: online}}
    - {name: land, dependsOn: [up], ingest: {files: {path: "x/*.csv"}}, output: {table: bronze.a, mode: append}}
    - {name: stores, inputs: [{name: s, file: "data/a&b<c>.csv"}], sql: {query: FROM s}, output: {table: silver.stores}}
    - {name: a, inputs: [{table: bronze.a, read: new}], sql: {query: FROM bronze.a}, output: {table: silver.a, mode: append}}
    - {name: b, inputs: [{table: silver.a}, {table: gold.other, external: true}], sql: {query: SELECT 1}, output: {table: gold.b}}
    - {name: c, inputs: [{table: gold.b}, {table: bronze.a}], sql: {query: SELECT 1}, output: {table: gold.c}}
    - {name: send, input: {table: gold.c}, publish: {key: [x], prefix: c}}
    - {name: fit, input: {table: gold.b}, train: {model: m, target: y, estimator: {name: Ridge}}}
    - {name: judge, evaluate: {model: m}}
    - {name: bye, dependsOn: [send, land], runIf: always, probe: {connection: online}}
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "p.yaml"
    path.write_text(PIPELINE)
    loaded = load_pipeline(path)
    return graph_of(compile_pipeline(loaded.pipeline, loaded.project))


def test_what_reads_and_writes_what(graph: Graph) -> None:
    edges = {(edge.source, edge.target): (edge.way, edge.label) for edge in graph.edges.values()}
    assert edges == {
        ("stage:up", "stage:land"): ("order", ""),
        ("files:files/x/*.csv", "stage:land"): ("data", ""),
        ("stage:land", "table:bronze.a"): ("data", "append"),
        ("file:data/a&b<c>.csv", "stage:stores"): ("data", ""),
        ("stage:stores", "table:silver.stores"): ("data", "overwrite"),
        ("table:bronze.a", "stage:a"): ("data", "new"),
        ("table:silver.stores", "stage:a"): ("check", "references"),
        ("stage:a", "table:silver.a"): ("data", "append"),
        ("table:silver.a", "stage:b"): ("data", ""),
        ("table:gold.other", "stage:b"): ("data", ""),
        ("stage:b", "table:gold.b"): ("data", "overwrite"),
        ("table:gold.b", "stage:c"): ("data", ""),
        ("table:bronze.a", "stage:c"): ("data", ""),
        ("stage:c", "table:gold.c"): ("data", "overwrite"),
        ("table:gold.c", "stage:send"): ("data", ""),
        ("stage:send", "online:online/c"): ("data", ""),
        ("table:gold.b", "stage:fit"): ("data", ""),
        ("stage:fit", "model:m"): ("data", ""),
        ("model:m", "stage:judge"): ("data", ""),
        ("stage:send", "stage:bye"): ("order", ""),
        ("stage:land", "stage:bye"): ("order", ""),
    }
    assert graph.nodes["table:gold.other"].detail == "table of another pipeline"


def test_text(graph: Graph) -> None:
    lines = text(graph).splitlines()
    assert lines[0] == "default.shop: 10 stages, 6 tables"
    at = {line.split()[0]: number for number, line in enumerate(lines) if line and not line.startswith((" ", "─"))}
    assert at["up"] < at["land"] < at["a"] < at["b"] < at["c"] < at["send"] < at["bye"]
    assert lines[at["a"] + 1 : at["a"] + 4] == [
        "  ◀─ bronze.a  (new)",
        "  ◀─ silver.stores  (references)",
        "  ─▶ silver.a  (append)",
    ]
    assert "  bronze.a       land ─▶ ● ─▶ a, c" in lines
    assert "  gold.other     another pipeline ─▶ ● ─▶ b" in lines


def test_the_picture_is_xml_with_every_node_and_edge(graph: Graph) -> None:
    root = ET.fromstring(svg(graph))
    shown = {element.text for element in root.iter(f"{SVG}text")}
    assert {node.label for node in graph.nodes.values()} <= shown
    assert 'Skips & <b>tags</b> "quoted"' in shown
    lines = [element for element in root.iter(f"{SVG}path") if "line" in (element.get("class") or "").split()]
    assert len(lines) == len(graph.edges)
    assert not [element for element in root.iter() if element.tag in (f"{SVG}script", f"{SVG}b")]


def test_hostile_text_stays_text() -> None:
    graph = Graph('</title><script>alert(1)</script>"\x00', "\x1b[31m]]>")
    graph.add(Node("stage:x", "stage", "x" * 200, "sql\x07", "<tone>"))
    root = ET.fromstring(svg(graph))
    assert root.get("aria-label") == '</title><script>alert(1)</script>"\ufffd'
    assert not list(root.iter(f"{SVG}script"))
    assert max(len(element.text or "") for element in root.iter(f"{SVG}text")) < 50
    assert "\x07" not in text(graph)


def test_same_graph_same_bytes(graph: Graph, tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(PIPELINE)
    again = load_pipeline(tmp_path / "q.yaml")
    assert svg(graph_of(compile_pipeline(again.pipeline, again.project))) == svg(graph)


def test_day_and_night(graph: Graph) -> None:
    assert "@media (prefers-color-scheme:dark)" in svg(graph)


# Layout


def test_everything_comes_after_what_it_needs_and_nothing_overlaps(graph: Graph) -> None:
    layout = arrange(graph, dict.fromkeys(graph.nodes, 100.0), {})
    for edge in graph.edges.values():
        assert layout.boxes[edge.source].right < layout.boxes[edge.target].x
    boxes = list(layout.boxes.values())
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart = one.right <= other.x or other.right <= one.x or abs(one.y - other.y) >= NODE_HEIGHT
            assert apart, (one, other)
        assert one.x >= 0
        assert one.right <= layout.width
        assert NODE_HEIGHT / 2 <= one.y <= layout.height - NODE_HEIGHT / 2


def test_lines_pass_other_boxes_by(graph: Graph) -> None:
    layout = arrange(graph, dict.fromkeys(graph.nodes, 100.0), {})
    for key, points in layout.lines.items():
        for (x1, y), (x2, _) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            for node, box in layout.boxes.items():
                inside = box.x < x2 and box.right > x1 and abs(box.y - y) < NODE_HEIGHT / 2
                assert not inside, (key, node)


def test_a_chain_is_straight() -> None:
    graph = Graph("chain", "")
    for name in "abcd":
        graph.add(Node(name, "stage", name))
    for pair in ("ab", "bc", "cd"):
        graph.connect(Edge(pair[0], pair[1]))
    layout = arrange(graph, dict.fromkeys(graph.nodes, 100.0), {})
    assert len({box.y for box in layout.boxes.values()}) == 1


def test_crossings_that_need_not_be_are_undone() -> None:
    graph = Graph("crossed", "")
    for name in ("a", "b", "y", "x"):
        graph.add(Node(name, "stage", name))
    graph.connect(Edge("a", "x"))
    graph.connect(Edge("b", "y"))
    boxes = arrange(graph, dict.fromkeys(graph.nodes, 100.0), {}).boxes
    assert (boxes["a"].y < boxes["b"].y) == (boxes["x"].y < boxes["y"].y)


# The command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "p.yaml", tmp_path / "p.svg"
    path.write_text(PIPELINE)
    assert main(["graph", str(path), "--svg", str(out)]) == 0
    assert capsys.readouterr().out.startswith("default.shop: 10 stages")
    assert main(["graph", str(path), "--svg", "-"]) == 0
    assert capsys.readouterr().out == out.read_text()
    assert main(["graph", str(path), "--output", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["title"], len(data["edges"])) == ("default.shop", 21)
    assert main(["graph", str(path), "--svg", str(tmp_path)]) == 78
