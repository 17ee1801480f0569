"""What a Project says about itself."""

from contextlib import suppress
from urllib.parse import urlsplit

from adutora.spec.project import Project
from adutora.spec.yamlfile import Where
from adutora.validate.connections import check_project_connections
from adutora.validate.fields import texts
from adutora.validate.limits import check_project_limits
from adutora.validate.names import check_project_names
from adutora.validate.references import refuse
from adutora.validate.schedule import check_timezone
from adutora.validate.scope import Report, TooManyError, some_time


def check_project(report: Report, project: Project) -> None:
    """Run every check of a Project."""
    with suppress(TooManyError):
        _all(report, project)


def _all(report: Report, project: Project) -> None:
    check_project_names(report, project)
    check_project_connections(report, project)
    check_project_limits(report, project)
    _addresses(report, project)
    for text in texts(project.spec, ("spec",)):
        if "$(" in text.text:
            refuse(report, text)
    defaults = project.spec.defaults
    if defaults and defaults.timezone is not None:
        check_timezone(report, ("spec", "defaults", "timezone"), defaults.timezone)


def _addresses(report: Report, project: Project) -> None:
    """Report URLs of another kind than what reads them."""
    lake = project.spec.lake
    roots: list[tuple[Where, str]] = [(("spec", "lake", "root"), lake.root)]
    roots += [(("spec", "lake", "layers", number, "root"), each.root) for number, each in enumerate(lake.layers)]
    for path, root in roots:
        wrong = _root_error(root)
        if wrong:
            report.error(path, *wrong)
    for number, connection in enumerate(project.spec.connections):
        wrong = _base_error(connection.http.baseUrl) if connection.http else None
        if wrong:
            report.error(("spec", "connections", number, "http", "baseUrl"), *wrong)
        if connection.http:
            place = ("spec", "connections", number, "http", "timeout")
            some_time(report, place, connection.http.timeout, "write for example 30s")


def _root_error(root: str) -> tuple[str, str] | None:
    scheme, separator, rest = root.partition("://")
    if not separator or scheme == "file":
        return None
    if scheme not in ("s3", "s3a"):
        return f"{scheme}:// is no place for a lake", "write a folder, or s3://bucket/path"
    return None if rest.strip("/") else ("names no bucket", "write s3://bucket/path")


def _base_error(text: str) -> tuple[str, str] | None:
    hint = "write for example https://api.example.com/v1"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        return f"is no URL: {error}", hint
    if url.scheme.lower() not in ("http", "https") or not url.hostname or port == 0:
        return f"{text} is no http:// or https:// address", hint
    if url.username is not None or url.query or url.fragment:
        more = "user and password belong under `auth` and in the Secret, parameters in the stage's `query`"
        return "holds more than scheme, host and path", more
    return None
