"""A pipeline as a picture: what its stages read and write, as text and as SVG."""

from adutora.drawing.model import Edge, Graph, Node, graph_of
from adutora.drawing.svg import svg
from adutora.drawing.words import text

__all__ = ["Edge", "Graph", "Node", "graph_of", "svg", "text"]
