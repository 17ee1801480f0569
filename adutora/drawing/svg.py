"""The graph as SVG: no library, no script, the same bytes for the same graph, readable by day and by night."""

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from xml.sax.saxutils import escape

from adutora.drawing.layout import Box, Layout, arrange
from adutora.drawing.model import Edge, Graph, Node

MARGIN, HEAD = 28.0, 58.0
LONGEST = 34  # characters of a label; the whole stands in the tooltip
_LABEL, _SMALL, _HOW = 7.9, 6.3, 5.9  # width of a character

# Accent, fill, and both by night. Stage types by what they do, tables by their layer.
_TONES = {
    "ingest": ("#0e7490", "#22d3ee"),
    "transform": ("#4f46e5", "#a5b4fc"),
    "check": ("#b45309", "#fbbf24"),
    "serve": ("#be123c", "#fb7185"),
    "learn": ("#7e22ce", "#d8b4fe"),
    "call": ("#475569", "#cbd5e1"),
}
_TYPES = {
    "ingest": "ingest",
    "sql": "transform",
    "spark": "transform",
    "clean": "transform",
    "python": "transform",
    "quality": "check",
    "probe": "call",
    "http": "call",
    "container": "call",
    "publish": "serve",
    "train": "learn",
    "evaluate": "learn",
}
_LAYERS = {
    "bronze": ("#a35b23", "#fbeee3", "#e2a36f", "#3b2718"),
    "silver": ("#64748b", "#eef2f6", "#a9b6c6", "#2a323d"),
    "gold": ("#a87900", "#fdf5d3", "#e6c34a", "#3a3010"),
    "other": ("#2563a8", "#e8f1fb", "#7db4ec", "#16293d"),
}
_BASE = (
    ("svg", "font-family:ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif"),
    (".bg", "fill:#ffffff;stroke:#e2e8f0"),
    (".title", "fill:#0f172a;font-size:16px;font-weight:700"),
    (".sub", "fill:#64748b;font-size:12px"),
    (".label", "fill:#0f172a;font-size:13px;font-weight:600"),
    (".detail", "fill:#64748b;font-size:11px"),
    (".how", "fill:#64748b;font-size:10.5px;paint-order:stroke;stroke:#ffffff;stroke-width:4px;stroke-linejoin:round"),
    (".line", "fill:none;stroke:#94a3b8;stroke-width:1.6"),
    (".order", "stroke-dasharray:5 4"),
    (".check", "stroke-dasharray:1.5 4;stroke-linecap:round"),
    (".tip", "fill:#94a3b8"),
    (".box", "fill:#ffffff;stroke-width:1.5"),
    (".source", "fill:#f8fafc;stroke:#94a3b8;stroke-width:1.3"),
    (".model", "fill:#faf5ff;stroke:#7e22ce;stroke-width:1.5"),
    (".online", "fill:#fff1f2;stroke:#be123c;stroke-width:1.5"),
)
_NIGHT = (
    (".bg", "fill:#0f172a;stroke:#1e293b"),
    (".title,.label", "fill:#f1f5f9"),
    (".sub,.detail", "fill:#94a3b8"),
    (".how", "fill:#94a3b8;stroke:#0f172a"),
    (".line", "stroke:#64748b"),
    (".tip", "fill:#64748b"),
    (".box", "fill:#1e293b"),
    (".source", "fill:#172033;stroke:#64748b"),
    (".model", "fill:#2a1a3d;stroke:#d8b4fe"),
    (".online", "fill:#3a1520;stroke:#fb7185"),
)


def svg(graph: Graph) -> str:
    """Return the picture. All text of the pipeline is escaped."""
    widths = {node.id: _width(node) for node in graph.nodes.values()}
    labels = {key: _measure(edge.label, _HOW) for key, edge in graph.edges.items()}
    layout = arrange(graph, widths, labels)
    subtitle = _short(" ".join(graph.description.split()), 110)
    head = max(_measure(graph.title, 9.6), _measure(subtitle, 6.9))
    width = max(layout.width, head) + 2 * MARGIN
    height = layout.height + HEAD + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}" role="img" aria-label="{_attribute(graph.title)}">',
        f"<title>{_text(graph.title)}</title>",
        f"<style>{_style()}</style>",
        f'<rect class="bg" x="0.5" y="0.5" width="{_n(width - 1)}" height="{_n(height - 1)}" rx="12"/>',
        f'<text class="title" x="{_n(MARGIN)}" y="38">{_text(graph.title)}</text>',
        f'<text class="sub" x="{_n(MARGIN)}" y="58">{_text(subtitle)}</text>' if subtitle else "",
        f'<g transform="translate({_n(MARGIN)} {_n(MARGIN + HEAD)})">',
        *(_edge(edge, layout) for edge in graph.edges.values()),
        *(_node(node, layout.boxes[node.id]) for node in graph.nodes.values()),
        *(_how(edge, layout) for edge in graph.edges.values()),
        "</g>",
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _style() -> str:
    day = [*_BASE]
    night = [*_NIGHT]
    for name, (accent, dark) in _TONES.items():
        day += [(f".s-{name}", f"stroke:{accent}"), (f".f-{name}", f"fill:{accent}")]
        night += [(f".s-{name}", f"stroke:{dark}"), (f".f-{name}", f"fill:{dark}")]
    for name, (accent, fill, dark, dark_fill) in _LAYERS.items():
        day.append((f".t-{name}", f"fill:{fill};stroke:{accent};stroke-width:1.5"))
        night.append((f".t-{name}", f"fill:{dark_fill};stroke:{dark}"))
    return f"{_rules(day)}@media (prefers-color-scheme:dark){{{_rules(night)}}}"


def _rules(rules: list[tuple[str, str]]) -> str:
    return "".join(f"{selector}{{{body}}}" for selector, body in rules)


# Nodes


def _node(node: Node, box: Box) -> str:
    shape = {"stage": _stage, "table": _table, "source": _page, "model": _hexagon, "online": _pill}[node.kind]
    middle = box.x + box.width / 2 + (3 if node.kind == "stage" else 0)
    label, detail = _short(node.label), _short(node.detail)
    down = 4 if node.kind == "table" else 0  # below the rim
    return (
        f"<g><title>{_text(f'{node.label} ({node.detail})')}</title>{shape(node, box)}"
        f'<text class="label" text-anchor="middle" x="{_n(middle)}" y="{_n(box.y - 2 + down)}">'
        f"{_text(label)}</text>"
        f'<text class="detail" text-anchor="middle" x="{_n(middle)}" y="{_n(box.y + 14 + down / 2)}">'
        f"{_text(detail)}</text></g>"
    )


def _stage(node: Node, box: Box) -> str:
    tone, top = _TYPES.get(node.tone, "call"), box.y - box.height / 2
    x, y, height = _n(box.x), _n(top), _n(box.height)
    return (
        f'<rect class="box s-{tone}" x="{x}" y="{y}" width="{_n(box.width)}" height="{height}" rx="7"/>'
        f'<path class="f-{tone}" d="M{_n(box.x + 7)} {y}h0a7 7 0 0 0 -7 7v{_n(box.height - 14)}a7 7 0 0 0 7 7z"/>'
    )


def _table(node: Node, box: Box) -> str:
    tone = node.tone if node.tone in _LAYERS else "other"
    half, rim, top = box.width / 2, 6.0, box.y - box.height / 2 + 6
    down = box.height - 12
    return (
        f'<path class="t-{tone}" d="M{_n(box.x)} {_n(top)}a{_n(half)} {rim:g} 0 0 1 {_n(box.width)} 0v{_n(down)}'
        f'a{_n(half)} {rim:g} 0 0 1 {_n(-box.width)} 0z"/>'
        f'<path class="t-{tone}" d="M{_n(box.x)} {_n(top)}a{_n(half)} {rim:g} 0 0 0 {_n(box.width)} 0'
        f'a{_n(half)} {rim:g} 0 0 0 {_n(-box.width)} 0z"/>'
    )


def _page(_: Node, box: Box) -> str:
    top, fold = box.y - box.height / 2, 10
    right = _n(box.right - fold)
    return (
        f'<path class="source" d="M{_n(box.x)} {_n(top)}H{right}l{fold} {fold}V{_n(top + box.height)}H{_n(box.x)}z"/>'
        f'<path class="source" d="M{right} {_n(top)}v{fold}h{fold}"/>'
    )


def _hexagon(_: Node, box: Box) -> str:
    half, cut = box.height / 2, 12
    return (
        f'<path class="model" d="M{_n(box.x)} {_n(box.y)}l{cut} {_n(-half)}h{_n(box.width - 2 * cut)}l{cut} {_n(half)}'
        f'l{-cut} {_n(half)}h{_n(2 * cut - box.width)}z"/>'
    )


def _pill(_: Node, box: Box) -> str:
    return (
        f'<rect class="online" x="{_n(box.x)}" y="{_n(box.y - box.height / 2)}" width="{_n(box.width)}" '
        f'height="{_n(box.height)}" rx="{_n(box.height / 2)}"/>'
    )


# Edges


def _edge(edge: Edge, layout: Layout) -> str:
    points = layout.lines[(edge.source, edge.target)]
    (x, y), (tip_x, tip_y) = points[0], points[-1]
    path = f"M{_n(x)} {_n(y)}" + "".join(_stretches([(x, y), *points[1:-1], (tip_x - 8, tip_y)]))
    way = "" if edge.way == "data" else f" {edge.way}"
    return f'<path class="line{way}" d="{path}"/><path class="tip" d="M{_n(tip_x)} {_n(tip_y)}l-9 -4.5v9z"/>'


def _stretches(points: list[tuple[float, float]]) -> Iterator[str]:
    """Curves between columns, straight lines through them."""
    for number, ((x1, y1), (x2, y2)) in enumerate(pairwise(points)):
        if number % 2 or y1 == y2:
            yield f"L{_n(x2)} {_n(y2)}"
        else:
            bend = (x2 - x1) / 2
            yield f"C{_n(x1 + bend)} {_n(y1)} {_n(x2 - bend)} {_n(y2)} {_n(x2)} {_n(y2)}"


def _how(edge: Edge, layout: Layout) -> str:
    """Say how a table is read or written, near that end of the line that is the table's."""
    if not edge.label:
        return ""
    points = layout.lines[(edge.source, edge.target)]
    (x1, y1), (x2, y2) = (points[-2], points[-1]) if edge.target.startswith("stage:") else (points[0], points[1])
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return f'<text class="how" text-anchor="middle" x="{_n(x)}" y="{_n(y - 5)}">{_text(edge.label)}</text>'


# Text


def _width(node: Node) -> float:
    wide = max(_measure(_short(node.label), _LABEL), _measure(_short(node.detail), _SMALL))
    return round(max(84.0, wide + 30), 1)


def _measure(text: str, each: float) -> float:
    return sum(each * (1.9 if unicodedata.east_asian_width(char) in "WF" else 1) for char in text)


def _short(text: str, most: int = LONGEST) -> str:
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def _text(text: str) -> str:
    """Return text that XML can hold: characters that it cannot are shown as a mark."""
    return escape("".join(char if char in "\t\n" or _allowed(char) else "\ufffd" for char in text))


def _allowed(char: str) -> bool:
    code = ord(char)
    return 0x20 <= code < 0x7F or 0xA0 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


def _attribute(text: str) -> str:
    return _text(text).replace('"', "&quot;")


def _n(value: float) -> str:
    """Return a number as short as it can be."""
    return f"{round(value, 1):g}"
