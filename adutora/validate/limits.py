"""Limits and profiles of the Project, and what a stage asks for."""

import fnmatch

from adutora.spec.base import Defaults, Resources
from adutora.spec.nearest import did_you_mean
from adutora.spec.pipeline import Stage
from adutora.spec.project import Limits, Project
from adutora.spec.scalars import Duration
from adutora.spec.spark import Executors, SparkConf, refused
from adutora.spec.yamlfile import Where
from adutora.validate.scope import Report, Scope, raw_names, some_time


def check_limits(scope: Scope) -> None:
    """Report what a pipeline asks for beyond its Project, and profiles that are not there."""
    limits = scope.project.spec.limits
    some_time(scope, ("spec", "timeout"), scope.spec.timeout, "write for example 2h")
    if scope.spec.defaults:
        check_defaults(scope, ("spec", "defaults"), scope.spec.defaults, limits)
        _profile(scope, ("spec", "defaults", "profile"), scope.spec.defaults.profile)
    for path, stage in scope.stages():
        _asked(scope, path, stage, limits)
        if stage.publish:
            hint = "write for example 7d, or leave it out: keys then stay"
            some_time(scope, (*path, "publish", "ttl"), stage.publish.ttl, hint)
        _profile(scope, (*path, "profile"), stage.profile)
        if stage.container and limits:
            _image(scope, (*path, "container", "image"), stage.container.image, limits)
        if stage.spark:
            _spark(scope, (*path, "spark"), stage, stage.spark.executors, stage.spark.conf)
            if stage.spark.image and limits:
                _image(scope, (*path, "spark", "image"), stage.spark.image, limits)
        if stage.sql:
            _spark(scope, (*path, "sql"), stage, stage.sql.executors, stage.sql.conf)


def _spark(scope: Scope, path: Where, stage: Stage, executors: Executors | None, conf: SparkConf | None) -> None:
    """Report executors and configuration that a stage may not have."""
    limits = scope.project.spec.limits
    if stage.sql and stage.sql.engine != "spark":
        for name, value in (("executors", executors), ("conf", conf)):
            if value is not None:
                scope.error((*path, name), "belongs to `engine: spark`", "leave it out, or write it", at_key=True)
        return
    for key in conf or {}:
        wrong = refused(key, stage.type)
        if wrong:
            scope.error((*path, "conf", key), *wrong, at_key=True)
    if executors is None:
        return
    if executors.min > executors.max:
        scope.error((*path, "executors", "min"), "min is more than max", "exchange them")
    if limits and limits.resources:
        for name in ("cpu", "memory"):
            value, most = getattr(executors, name), getattr(limits.resources, name)
            if value is not None and most is not None and value > most:
                _beyond(scope, (*path, "executors", name), value, most)


def check_project_limits(report: Report, project: Project) -> None:
    """Report defaults of a project that its own limits refuse, and a default profile that is not there."""
    defaults = project.spec.defaults
    if defaults:
        check_defaults(report, ("spec", "defaults"), defaults, project.spec.limits)
        names = [profile.name for profile in project.spec.profiles]
        if defaults.profile and defaults.profile not in names and not report.gap(("spec", "profiles")):
            message = f"there is no profile `{defaults.profile}`"
            report.error(("spec", "defaults", "profile"), message, did_you_mean(defaults.profile, names))


def check_defaults(report: Report, path: Where, defaults: Defaults, limits: Limits | None) -> None:
    """Report defaults beyond the limits."""
    _asked(report, path, defaults, limits)


def _asked(report: Report, path: Where, asks: Defaults | Stage, limits: Limits | None) -> None:
    timeout, retries, resources = asks.timeout, asks.retries, asks.resources
    _sensible(report, path, timeout, resources)
    if limits is None:
        return
    if timeout is not None and limits.timeout is not None and timeout > limits.timeout:
        _beyond(report, (*path, "timeout"), timeout, limits.timeout)
    if retries is not None and limits.retries is not None and retries > limits.retries:
        _beyond(report, (*path, "retries"), retries, limits.retries)
    if resources and limits.resources:
        for name, cap in (("cpu", "cpu"), ("memory", "memory"), ("maxMemory", "memory"), ("scratch", "scratch")):
            value, most = getattr(resources, name), getattr(limits.resources, cap)
            if value is not None and most is not None and value > most:
                _beyond(report, (*path, "resources", name), value, most)


def _sensible(report: Report, path: Where, timeout: Duration | None, resources: Resources | None) -> None:
    if timeout is not None and timeout == 0:
        report.error((*path, "timeout"), "is no time at all", "write for example 30m")
    most, least = (resources.maxMemory, resources.memory) if resources else (None, None)
    if most is not None and least is not None and most < least:
        message = f"maxMemory {most} is less than memory {least}"
        report.error((*path, "resources", "maxMemory"), message, "more memory is tried up to maxMemory")


def _beyond(report: Report, path: Where, value: object, most: object) -> None:
    report.error(path, f"{value} is more than the Project allows", f"at most {most}")


def _profile(scope: Scope, path: Where, name: str | None) -> None:
    names = raw_names(scope.project_document, "profiles")
    if name is None or name in names:
        return
    if scope.project_found:
        scope.error(path, f"there is no profile `{name}`", did_you_mean(name, names) or "the Project has none")
    else:
        scope.undeclared(path, f"the profile `{name}`", None)


def _image(scope: Scope, path: Where, image: str, limits: Limits) -> None:
    if limits.images is not None and not any(fnmatch.fnmatchcase(image, pattern) for pattern in limits.images):
        hint = f"allowed are {', '.join(limits.images[:10])}" if limits.images else "none is allowed"
        scope.error(path, f"the Project does not allow the image {image}", hint)
