"""Names: each stands once."""

from collections.abc import Iterable

from adutora.spec.project import Project
from adutora.spec.yamlfile import Where
from adutora.validate.scope import STAGES, TABLES, Report, Scope


def check_names(scope: Scope) -> None:
    """Report names of a pipeline that stand twice."""
    spec = scope.spec
    once(scope, "stage", [((*STAGES, i, "name"), each.name) for i, each in enumerate(spec.stages)])
    once(scope, "table", [((*TABLES, i, "name"), each.name) for i, each in enumerate(spec.tables)])
    once(scope, "parameter", [(("spec", "params", i, "name"), each.name) for i, each in enumerate(spec.params)])
    for index, table in enumerate(spec.tables):
        path = (*TABLES, index)
        once(
            scope, "check", [((*path, "checks", i), each.title) for i, each in enumerate(table.checks)], give_name=True
        )
        columns = [((*path, "columns", i, "name"), each.name) for i, each in enumerate(table.columns or [])]
        once(scope, "column", columns, fold=True)
    for path, stage in scope.stages():
        many = [(p, each) for i, each in enumerate(stage.inputs or []) for p in [(*path, "inputs", i)]]
        once(scope, "input", [(p, each.table or each.name or "") for p, each in many if each.table or each.name])
        if stage.quality:
            checks = [((*path, "quality", "checks", i), each.title) for i, each in enumerate(stage.quality.checks)]
            once(scope, "check", checks, give_name=True)
        for place, item in many:
            columns = [((*place, "columns", i, "name"), each.name) for i, each in enumerate(item.columns or [])]
            once(scope, "column", columns, fold=True)


def check_project_names(report: Report, project: Project) -> None:
    """Report names of a project that stand twice."""
    spec = project.spec
    connections = [(("spec", "connections", i, "name"), each.name) for i, each in enumerate(spec.connections)]
    once(report, "connection", connections)
    once(report, "profile", [(("spec", "profiles", i, "name"), each.name) for i, each in enumerate(spec.profiles)])
    layers = [(("spec", "lake", "layers", i, "name"), each.name) for i, each in enumerate(spec.lake.layers)]
    once(report, "layer", layers)


def once(
    report: Report,
    noun: str,
    names: Iterable[tuple[Where, str]],
    *,
    fold: bool = False,
    give_name: bool = False,
) -> None:
    """Report each name that stands a second time; with `fold`, upper and lower case are the same."""
    first: dict[str, Where] = {}
    for path, name in names:
        key = name.casefold() if fold else name
        if key not in first:
            first[key] = path
            continue
        hint = "give one of them a `name`" if give_name else "rename one of them"
        same = " (upper and lower case are the same here)" if fold and name.casefold() != name else ""
        report.error(path, f"the {noun} `{name}` stands twice: here and in {report.place(first[key])}{same}", hint)
