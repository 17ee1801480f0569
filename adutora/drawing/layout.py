"""Where things stand: layers by the longest path, order by barycenters, heights by least squares.

The same graph gives the same numbers: nothing depends on hashes or chance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise

from adutora.drawing.model import Edge, Graph

ROUNDS = 13  # odd: the last sweep goes forward, so that a chain is straight
NARROWEST, AROUND_LABEL = 52.0, 36.0  # gap between two columns
NODE_HEIGHT = 46.0
ROW_GAP, LINE_GAP = 26.0, 16.0  # between two nodes, and where a line passes


@dataclass(frozen=True)
class Box:
    """A node's place: its left edge, its middle line, its width."""

    x: float
    y: float
    width: float
    height: float = NODE_HEIGHT

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width


@dataclass
class Layout:
    """Boxes by node, lines by edge, and the whole's size. A line is points: left and right ends of each stretch."""

    boxes: dict[str, Box]
    lines: dict[tuple[str, str], list[tuple[float, float]]]
    width: float
    height: float


@dataclass
class _Chain:
    """An edge with the places in between, where it passes other layers."""

    edge: Edge
    steps: list[str] = field(default_factory=list)


def arrange(graph: Graph, widths: Mapping[str, float], labels: Mapping[tuple[str, str], float]) -> Layout:
    """Lay a graph out from left to right. `widths` are those of the nodes, `labels` those of what edges say."""
    layer_of = _layers(graph)
    layers: list[list[str]] = [[] for _ in range(max(layer_of.values(), default=0) + 1)]
    for node in graph.nodes:
        layers[layer_of[node]].append(node)
    chains = [_chain(edge, layer_of, layers) for edge in graph.edges.values()]
    links = [pair for chain in chains for pair in pairwise(chain.steps)]
    before, after = _neighbours(links, layers)
    layers = _ordered(layers, before, after)
    middles = _heights(layers, before, after, graph)
    return _place(graph, layers, chains, middles, widths, labels)


def _layers(graph: Graph) -> dict[str, int]:
    """Longest path from the left; what nothing comes before stands next to what it feeds."""
    sorter = TopologicalSorter({node: sorted(edge.source for edge in graph.into(node)) for node in graph.nodes})
    order = list(sorter.static_order())
    layer = dict.fromkeys(graph.nodes, 0)
    for node in order:
        layer[node] = max((layer[edge.source] + 1 for edge in graph.into(node)), default=0)
    for node in graph.nodes:
        if not any(graph.into(node)):
            layer[node] = max(0, min((layer[edge.target] - 1 for edge in graph.out_of(node)), default=0))
    return layer


def _chain(edge: Edge, layer_of: Mapping[str, int], layers: list[list[str]]) -> _Chain:
    chain = _Chain(edge, [edge.source])
    for layer in range(layer_of[edge.source] + 1, layer_of[edge.target]):
        step = f"\x00{edge.source}\x00{edge.target}\x00{layer}"
        layers[layer].append(step)
        chain.steps.append(step)
    chain.steps.append(edge.target)
    return chain


Around = dict[str, list[str]]


def _neighbours(links: Sequence[tuple[str, str]], layers: Sequence[Sequence[str]]) -> tuple[Around, Around]:
    before: Around = {node: [] for layer in layers for node in layer}
    after: Around = {node: [] for layer in layers for node in layer}
    for source, target in links:
        after[source].append(target)
        before[target].append(source)
    return before, after


def _ordered(layers: list[list[str]], before: Around, after: Around) -> list[list[str]]:
    """Sweep to and fro, each node to the middle of its neighbours; keep the order with the fewest crossings."""
    best, fewest = layers, _crossings(layers, after)
    current = [list(layer) for layer in layers]
    for number in range(ROUNDS):
        forward = number % 2 == 0
        around = before if forward else after
        span = range(1, len(current)) if forward else range(len(current) - 2, -1, -1)
        for index in span:
            position = _positions(current[index - 1 if forward else index + 1])
            current[index] = _sorted(current[index], around, position)
        crossings = _crossings(current, after)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def _positions(layer: Sequence[str]) -> dict[str, int]:
    return {node: index for index, node in enumerate(layer)}


def _sorted(layer: list[str], around: Around, position: Mapping[str, int]) -> list[str]:
    own = _positions(layer)

    def middle(node: str) -> tuple[float, int]:
        places = [position[other] for other in around[node]]
        return (sum(places) / len(places) if places else float(own[node])), own[node]

    return sorted(layer, key=middle)


def _crossings(layers: Sequence[Sequence[str]], after: Around) -> int:
    total = 0
    for left, right in pairwise(layers):
        position = _positions(right)
        ends = [sorted(position[other] for other in after[node]) for node in left]
        flat = [(index, end) for index, group in enumerate(ends) for end in group]
        total += sum(a[0] < b[0] and a[1] > b[1] for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


def _heights(layers: list[list[str]], before: Around, after: Around, graph: Graph) -> dict[str, float]:
    """Middle lines: as near to the neighbours as order and gaps allow."""

    def gap(upper: str, lower: str) -> float:
        nodes = (upper in graph.nodes) + (lower in graph.nodes)
        return nodes * NODE_HEIGHT / 2 + (ROW_GAP if nodes == 2 else LINE_GAP)

    middles: dict[str, float] = {}
    for layer in layers:
        place = 0.0
        for upper, lower in zip([None, *layer], layer, strict=False):
            place += gap(upper, lower) if upper is not None else 0.0
            middles[lower] = place
    for number in range(ROUNDS):
        order = layers if number % 2 == 0 else layers[::-1]
        for layer in order:
            wanted = [_wanted(node, middles, before, after, number) for node in layer]
            middles.update(zip(layer, _spread(layer, wanted, gap), strict=True))
    top = min((y - (NODE_HEIGHT / 2 if node in graph.nodes else 0) for node, y in middles.items()), default=0.0)
    return {node: round(y - top, 1) for node, y in middles.items()}


def _wanted(node: str, middles: Mapping[str, float], before: Around, after: Around, number: int) -> float:
    others = (before if number % 2 == 0 else after)[node]
    return sum(middles[other] for other in others) / len(others) if others else middles[node]


def _spread(layer: Sequence[str], wanted: Sequence[float], gap: Callable[[str, str], float]) -> list[float]:
    """Return the places nearest to those wanted, in least squares, that keep order and gaps (pool of violators)."""
    offsets = [0.0]
    for upper, lower in pairwise(layer):
        offsets.append(offsets[-1] + gap(upper, lower))
    pools: list[list[float]] = []  # sum and number of members
    for want, offset in zip(wanted, offsets, strict=False):
        pools.append([want - offset, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    free = [total / count for total, count in pools for _ in range(int(count))]
    return [value + offset for value, offset in zip(free, offsets, strict=False)]


def _place(
    graph: Graph,
    layers: Sequence[Sequence[str]],
    chains: Sequence[_Chain],
    middles: Mapping[str, float],
    widths: Mapping[str, float],
    labels: Mapping[tuple[str, str], float],
) -> Layout:
    left, boxes = 0.0, dict[str, Box]()
    columns: dict[str, tuple[float, float]] = {}
    for layer in layers:
        width = max((widths[node] for node in layer if node in graph.nodes), default=0.0)
        for node in layer:
            columns[node] = (left, left + width)
            if node in graph.nodes:
                boxes[node] = Box(left + (width - widths[node]) / 2, middles[node], widths[node])
        left += width + _gap(layer, chains, labels)
    ends = _ends(chains, boxes, middles)
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for chain in chains:
        key = (chain.edge.source, chain.edge.target)
        points = [ends[(*key, "out")]]
        points += [(x, middles[step]) for step in chain.steps[1:-1] for x in columns[step]]
        lines[key] = [*points, ends[(*key, "in")]]
    low = max((box.y + box.height / 2 for box in boxes.values()), default=0.0)
    wide = max((box.right for box in boxes.values()), default=0.0)
    return Layout(boxes, lines, wide, max([low, *middles.values()]))


def _gap(layer: Sequence[str], chains: Sequence[_Chain], labels: Mapping[tuple[str, str], float]) -> float:
    """The gap to the right of a layer, wide enough for what is said there: beside the end that is no stage."""
    said = [NARROWEST]
    for chain in chains:
        source, target = chain.edge.source, chain.edge.target
        near = chain.steps[-2] if target.startswith("stage:") else source
        if near in layer and labels.get((source, target)):
            said.append(labels[source, target] + AROUND_LABEL)
    return max(said)


def _ends(
    chains: Sequence[_Chain], boxes: Mapping[str, Box], middles: Mapping[str, float]
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Spread the ends of several lines along a box's side, in the order of where they come from."""
    sides: dict[tuple[str, str], list[tuple[float, _Chain]]] = {}
    for chain in chains:
        sides.setdefault((chain.edge.source, "out"), []).append((middles[chain.steps[1]], chain))
        sides.setdefault((chain.edge.target, "in"), []).append((middles[chain.steps[-2]], chain))
    out: dict[tuple[str, str, str], tuple[float, float]] = {}
    for (node, side), group in sides.items():
        box = boxes[node]
        group.sort(key=lambda each: each[0])
        step = min(10.0, (box.height - 18) / max(1, len(group) - 1))
        for index, (_, chain) in enumerate(group):
            y = box.y + (index - (len(group) - 1) / 2) * step
            out[(chain.edge.source, chain.edge.target, side)] = (box.right if side == "out" else box.x, round(y, 1))
    return out
