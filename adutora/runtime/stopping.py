"""SIGTERM as an exception, so that what a stage holds is let go. Light, for a pod must listen before it imports."""


class Stopped(BaseException):
    """The process was told to stop."""


def stop(*_: object) -> None:
    """Handle a signal. Raises Stopped."""
    raise Stopped
