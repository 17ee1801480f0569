"""What a Project says about itself."""

from contextlib import suppress

from adutora.spec.project import Project
from adutora.validate.connections import check_project_connections
from adutora.validate.limits import check_project_limits
from adutora.validate.names import check_project_names
from adutora.validate.schedule import check_timezone
from adutora.validate.scope import Report, TooManyError


def check_project(report: Report, project: Project) -> None:
    """Run every check of a Project."""
    with suppress(TooManyError):
        _all(report, project)


def _all(report: Report, project: Project) -> None:
    check_project_names(report, project)
    check_project_connections(report, project)
    check_project_limits(report, project)
    defaults = project.spec.defaults
    if defaults and defaults.timezone is not None:
        check_timezone(report, ("spec", "defaults", "timezone"), defaults.timezone)
