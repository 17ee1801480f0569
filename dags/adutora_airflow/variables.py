"""Variables of a container."""


def plain(text: str) -> str:
    """Keep the kubelet from reading `$(NAME)` in a value as another variable's."""
    return text.replace("$", "$$")
