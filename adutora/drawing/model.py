"""The graph behind the picture: stages, and the tables, files, models and key sets between them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

from adutora.compile import references
from adutora.dagconfig import DagConfig, Json, StageConfig

Kind = Literal["stage", "table", "source", "model", "online"]


@dataclass(frozen=True)
class Node:
    """A stage, or something that stages read and write. `tone` decides the colour: a stage's type, a table's layer."""

    id: str
    kind: Kind
    label: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Edge:
    """`source` comes before `target`. `way` is data that flows, an order that is kept, or a check that looks."""

    source: str
    target: str
    way: Literal["data", "order", "check"] = "data"
    label: str = ""


@dataclass
class Graph:
    """Nodes in the order of the stages, and edges; without a cycle."""

    title: str
    description: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)

    def add(self, node: Node) -> str:
        """Add a node, where it is not there; return its id."""
        self.nodes.setdefault(node.id, node)
        return node.id

    def connect(self, edge: Edge) -> None:
        """Add an edge, where none is there."""
        self.edges.setdefault((edge.source, edge.target), edge)

    def into(self, node: str) -> Iterator[Edge]:
        """Yield the edges that end in a node."""
        return (edge for edge in self.edges.values() if edge.target == node)

    def out_of(self, node: str) -> Iterator[Edge]:
        """Yield the edges that begin in a node."""
        return (edge for edge in self.edges.values() if edge.source == node)

    def to_json(self) -> Json:
        """Return the graph for programs."""
        return {
            "title": self.title,
            "nodes": [asdict(node) for node in self.nodes.values()],
            "edges": [asdict(edge) for edge in self.edges.values()],
        }


def graph_of(config: DagConfig) -> Graph:
    """Return the graph of a compiled pipeline."""
    graph = Graph(config.dag_id, config.description or "")
    for stage in config.stages:
        _stage(graph, config, stage)
    for stage in config.stages:
        _order(graph, config, stage)
    return graph


def _stage(graph: Graph, config: DagConfig, stage: StageConfig) -> None:
    own = str(stage.output["table"]) if stage.output else None
    me = Node(f"stage:{stage.name}", "stage", stage.name, _detail(stage), stage.type)
    for item in stage.inputs:
        if item.get("table") != own:
            graph.connect(Edge(graph.add(_input(item, config)), me.id, label=_how(item)))
    for source in _sources(stage):
        graph.connect(Edge(graph.add(source), me.id))
    if stage.type == "evaluate":
        graph.connect(Edge(graph.add(_model(stage)), me.id))
    for table in dict.fromkeys(_referenced(config, stage)):
        if table != own:
            graph.connect(Edge(graph.add(_table(table, config)), me.id, "check", "references"))
    graph.add(me)
    if own is not None:
        mode = str((stage.output or {}).get("mode", ""))
        graph.connect(Edge(me.id, graph.add(_table(own, config)), label=mode))
    if stage.type == "train":
        graph.connect(Edge(me.id, graph.add(_model(stage))))
    if stage.type == "publish":
        graph.connect(Edge(me.id, graph.add(_online(stage))))


def _order(graph: Graph, config: DagConfig, stage: StageConfig) -> None:
    """Add what a stage waits for without data between: `dependsOn` and outputs."""
    me = f"stage:{stage.name}"
    before = {edge.source for edge in graph.into(me)}
    for other in stage.depends_on:
        if not before.intersection(edge.target for edge in graph.out_of(f"stage:{other}")):
            used = [ref.path for ref in references(stage.to_json()) if ref.root == "stages"]
            names = [path[2] for path in used if path[0] == other]
            label = f"output {', '.join(dict.fromkeys(names))}" if names else ""
            graph.connect(Edge(f"stage:{other}", me, "order", label))


def _detail(stage: StageConfig) -> str:
    parts = [stage.type]
    if stage.type in ("probe", "http"):
        parts.append(str(stage.block["connection"]))
    if stage.for_each is not None:
        parts.append("for each")
    if stage.when is not None:
        parts.append("when …")
    if stage.run_if != "succeeded":
        parts.append(f"if {stage.run_if}")
    return " · ".join(parts)


def _input(item: Json, config: DagConfig) -> Node:
    if "table" in item:
        return _table(str(item["table"]), config)
    return Node(f"file:{item['file']}", "source", str(item["file"]), "file", "file")


def _table(name: str, config: DagConfig) -> Node:
    written = any(stage.output and stage.output["table"] == name for stage in config.stages)
    detail = "table" if written else "table of another pipeline"
    return Node(f"table:{name}", "table", name, detail, name.split(".", 1)[0])


def _how(item: Json) -> str:
    read = str(item.get("read", "all"))
    return {"all": "", "changedPartitions": "changed partitions"}.get(read, read) if "table" in item else ""


def _sources(stage: StageConfig) -> Iterator[Node]:
    """Yield what an ingest stage brings in."""
    if stage.type != "ingest":
        return
    for kind, block in stage.block.items():
        if isinstance(block, dict):
            connection = str(block.get("connection") or "files")
            label = str(block.get("path") or block.get("table") or kind)
            yield Node(f"{kind}:{connection}/{label}", "source", label, connection, kind)


def _model(stage: StageConfig) -> Node:
    name = str(stage.block["model"])
    return Node(f"model:{name}", "model", name, "model", "model")


def _online(stage: StageConfig) -> Node:
    connection, prefix = str(stage.block["connection"]), str(stage.block["prefix"])
    return Node(f"online:{connection}/{prefix}", "online", f"{prefix}:*", connection, "online")


def _referenced(config: DagConfig, stage: StageConfig) -> Iterator[str]:
    """Yield the tables that checks of the stage, or of the table that it writes, look into."""
    checks = list(stage.block.get("checks", ())) if stage.type == "quality" else []
    if stage.output:
        checks += config.tables.get(str(stage.output["table"]), {}).get("checks", ())
    for check in checks:
        if "references" in check:
            yield str(check["references"]["table"])
