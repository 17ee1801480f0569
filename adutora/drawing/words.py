"""The graph as text: stages in steps, each with what it reads and writes, then the tables."""

from collections.abc import Iterator
from graphlib import TopologicalSorter

from adutora.drawing.model import Edge, Graph, Node
from adutora.spec.diagnostics import printable


def text(graph: Graph) -> str:
    """Return the graph as text. Stages of one step wait for those of earlier steps alone."""
    steps = _steps(graph)
    tables = [node for node in graph.nodes.values() if node.kind == "table"]
    stages = [node for node in graph.nodes.values() if node.kind == "stage"]
    lines = [f"{graph.title}: {_count(stages, 'stage')}, {_count(tables, 'table')}"]
    width = max((len(node.label) for node in stages), default=0)
    for number in sorted(set(steps.values())):
        lines += ["", f"── {number} " + "─" * 40]
        for node in stages:
            if steps[node.id] == number:
                lines.append(f"{node.label:<{width}}  {node.detail}")
                lines += [f"  {line}" for line in _reads_and_writes(graph, node)]
    if tables:
        lines += ["", "tables"]
        longest = max(len(node.label) for node in tables)
        tables.sort(key=lambda node: node.label)
        lines += [f"  {node.label:<{longest}}  {_through(graph, node)}" for node in tables]
    return "".join(f"{printable(line)}\n" for line in lines)


def _count(nodes: list[Node], noun: str) -> str:
    return f"{len(nodes) or 'no'} {noun}{'' if len(nodes) == 1 else 's'}"


def _steps(graph: Graph) -> dict[str, int]:
    """Return the step of each stage, from 1."""
    order = TopologicalSorter({node: sorted(edge.source for edge in graph.into(node)) for node in graph.nodes})
    depth: dict[str, int] = {}
    for node in order.static_order():
        reached = max((depth[edge.source] for edge in graph.into(node)), default=0)
        depth[node] = reached + (graph.nodes[node].kind == "stage")
    return {name: number for name, number in depth.items() if graph.nodes[name].kind == "stage"}


def _reads_and_writes(graph: Graph, node: Node) -> Iterator[str]:
    for edge in graph.into(node.id):
        if edge.way == "order":
            yield f"⋯ after {graph.nodes[edge.source].label}{_said(edge)}"
        else:
            yield f"◀─ {_named(graph.nodes[edge.source])}{_said(edge)}"
    for edge in graph.out_of(node.id):
        if graph.nodes[edge.target].kind != "stage":
            yield f"─▶ {_named(graph.nodes[edge.target])}{_said(edge)}"


def _said(edge: Edge) -> str:
    return f"  ({edge.label})" if edge.label else ""


def _named(node: Node) -> str:
    if node.kind == "table":
        return node.label + (f"  [{node.detail}]" if node.detail != "table" else "")
    return f"{node.label}  [{node.detail if node.kind != 'online' else f'online store {node.detail}'}]"


def _through(graph: Graph, node: Node) -> str:
    writers = [graph.nodes[edge.source].label for edge in graph.into(node.id)]
    readers = [graph.nodes[edge.target].label for edge in graph.out_of(node.id)]
    before = f"{', '.join(writers)} ─▶ " if writers else "another pipeline ─▶ "
    return f"{before}●" + (f" ─▶ {', '.join(readers)}" if readers else "")
