"""The stage's own function: outputs of stages before it become rows."""

from collections.abc import Iterator, Mapping


def rows(inputs: Mapping[str, object], pages: list[int], sold: list[int]) -> Iterator[dict[str, int]]:
    """Yield one row per page."""
    for page, count in zip(pages, sold, strict=True):
        yield {"page": page, "sold": count}
