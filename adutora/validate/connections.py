"""Connections: there, and of a type that fits."""

from collections.abc import Callable, Iterator
from typing import Final

from adutora.spec.nearest import nearest
from adutora.spec.pipeline import Stage
from adutora.spec.project import Connection, Project
from adutora.spec.yamlfile import Where
from adutora.validate.scope import Report, Scope, raw_names

Use = tuple[Where, str, tuple[str, ...]]
FILES: Final = ("s3", "folder")
ONLINE: Final = ("redis", "sqlite")
NOTIFY: Final = ("slack", "webhook", "smtp")


def check_connections(scope: Scope) -> None:
    """Report connections that a pipeline names and that are not there, or are of another type."""
    uses = [use for path, stage in scope.stages() for use in _uses(path, stage)]
    uses += [
        (("spec", "notify", number, "connection"), each.connection, NOTIFY)
        for number, each in enumerate(scope.spec.notify)
    ]
    # A connection that was refused in the Project is told there.
    refused = set(raw_names(scope.project_document, "connections")) - set(scope.connections)
    for path, name, types in uses:
        if name not in refused:
            judge(scope, path, name, types, scope.connections, None if scope.project_found else scope.undeclared)


def _uses(path: Where, stage: Stage) -> Iterator[Use]:
    if stage.probe:
        yield (*path, "probe", "connection"), stage.probe.connection, ()
    if stage.http:
        yield (*path, "http", "connection"), stage.http.connection, ("http",)
    if stage.publish:
        yield (*path, "publish", "connection"), stage.publish.connection, ONLINE
    if stage.ingest:
        if stage.ingest.files and stage.ingest.files.connection:
            yield (*path, "ingest", "files", "connection"), stage.ingest.files.connection, FILES
        if stage.ingest.http:
            yield (*path, "ingest", "http", "connection"), stage.ingest.http.connection, ("http",)
        if stage.ingest.database:
            yield (*path, "ingest", "database", "connection"), stage.ingest.database.connection, ("postgres",)
    if stage.container:
        for number, name in enumerate(stage.container.connections or []):
            yield (*path, "container", "connections", number), name, ()


def check_project_connections(report: Report, project: Project) -> None:
    """Report connections that a project names and does not have."""
    spec = project.spec
    connections = {each.name: each for each in spec.connections}
    uses: list[Use] = [
        (("spec", "notify", number, "connection"), each.connection, NOTIFY) for number, each in enumerate(spec.notify)
    ]
    if spec.lake.connection:
        uses.append((("spec", "lake", "connection"), spec.lake.connection, ("s3",)))
    if spec.catalog:
        uses.append((("spec", "catalog", "connection"), spec.catalog.connection, ("glue", "unity")))
    for path, name, types in uses:
        if name in connections or not report.gap(("spec", "connections")):
            judge(report, path, name, types, connections)


def judge(
    report: Report,
    path: Where,
    name: str,
    types: tuple[str, ...],
    known: dict[str, Connection],
    undeclared: Callable[[Where, str, str | None], None] | None = None,
) -> None:
    """Report a connection of a type that does not fit, or that is not there: by `undeclared` where no Project is."""
    connection = known.get(name)
    wanted = " or ".join([*([", ".join(types[:-1])] if types[:-1] else []), *types[-1:]])
    if connection is not None:
        if types and connection.type not in types:
            message = f"the connection `{name}` is of type {connection.type}"
            report.error(path, message, f"name one of type {wanted}")
        return
    fitting = [each.name for each in known.values() if not types or each.type in types]
    near = nearest(name, fitting)
    hint = f"did you mean `{near}`?" if near else None
    if undeclared is None:
        block = types[0] if types else "http"
        have = ", ".join(f"`{each}`" for each in fitting[:10])
        fallback = f"the Project has {have}" if have else f"add to the Project: {{name: {name}, {block}: {{…}}}}"
        report.error(path, f"the Project has no connection `{name}`", hint or fallback)
    else:
        undeclared(path, f"the connection `{name}`", hint)
