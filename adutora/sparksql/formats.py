"""Formats of strftime and strptime as Java writes them."""

import re
from typing import Final

_PARTS: Final = {
    "Y": "yyyy", "y": "yy", "m": "MM", "-m": "M", "d": "dd", "-d": "d", "H": "HH", "-H": "H", "I": "hh", "-I": "h",
    "M": "mm", "-M": "m", "S": "ss", "-S": "s", "f": "SSSSSS", "p": "a", "j": "DDD", "b": "MMM", "B": "MMMM",
    "a": "EEE", "A": "EEEE", "F": "yyyy-MM-dd", "T": "HH:mm:ss",
}  # fmt: skip
# Where nothing digital stands beside them, numbers may lack a leading zero when they are read.
_SHORT: Final = {"MM": "M", "dd": "d", "HH": "H", "hh": "h", "mm": "m", "ss": "s"}
_PART: Final = re.compile(r"%(-?.)|([^%]+)|(%)\Z", re.DOTALL)


def java_format(text: str, *, reading: bool = False) -> str | None:
    """Return a format in Java's way, None where it has a part that Java does not have."""
    out: list[tuple[str, bool]] = []  # pieces, and whether they are parts of a time
    for match in _PART.finditer(text):
        if match[2]:
            out.append((_quoted(match[2]), False))
        elif match[1] == "%":
            out.append(("%", False))
        elif match[1] in _PARTS:
            out.append((_PARTS[match[1]], True))
        else:
            return None
    if not reading:
        return "".join(piece for piece, _ in out)
    return "".join(
        _SHORT.get(piece, piece) if part and not _touched(out, number) else piece
        for number, (piece, part) in enumerate(out)
    )


def _touched(pieces: list[tuple[str, bool]], number: int) -> bool:
    """Say whether a part has another one right beside it."""
    return any(part for _, part in (*pieces[max(0, number - 1) : number], *pieces[number + 1 : number + 2]))


def _quoted(text: str) -> str:
    """Return what stands for itself: letters in quotes, and a quote among them as two."""
    pieces = re.findall(r"[A-Za-z\[\]{}#']+|[^A-Za-z\[\]{}#']+", text)
    return "".join(
        "'" + each.replace("'", "''") + "'" if re.match(r"[A-Za-z\[\]{}#']", each) else each for each in pieces
    )
