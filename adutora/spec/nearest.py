"""The nearest name for a typo."""

import difflib
from collections.abc import Iterable


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, or None. `depends_on` is as near to `dependsOn` as can be."""
    choice = list(dict.fromkeys(names))
    word = _plain(name[:200])
    plain = {_plain(each): each for each in reversed(choice)}
    if word in plain:
        return plain[word]
    # One letter off in a short word weighs more.
    found = difflib.get_close_matches(word, plain, n=1, cutoff=0.65 if len(word) <= 4 else 0.7)
    return plain[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str], *, most: int = 12) -> str | None:
    """Return a hint: the nearest name, else a short list of what there is, else None."""
    choice = list(dict.fromkeys(names))
    near = nearest(name, choice)
    if near is not None and near != name:
        return f"did you mean `{near}`?"
    if not choice:
        return None
    more = ", …" if len(choice) > most else ""
    return "one of " + ", ".join(f"`{each}`" for each in choice[:most]) + more
