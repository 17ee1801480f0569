"""What the operator is told by its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adutora.errors import ConfigError


@dataclass(frozen=True)
class AirflowSettings:
    """Where Airflow's REST API is, and who we are there. The password is read at each login: it may be renewed."""

    url: str
    user: str
    password_file: Path


@dataclass(frozen=True)
class Settings:
    """Times in seconds. No namespaces: all of them."""

    namespaces: tuple[str, ...] = ()
    airflow: AirflowSettings | None = None
    workers: int = 32
    health_port: int = 8080
    metrics_port: int = 9090
    poll: float = 5
    resync: float = 600


def from_environment(env: Mapping[str, str]) -> Settings:
    """Read `ADUTORA_*`. Raises ConfigError, which names the variable."""
    names = tuple(name.strip() for name in env.get("ADUTORA_NAMESPACES", "").split(",") if name.strip())
    return Settings(
        namespaces=names,
        airflow=_airflow(env),
        workers=int(_number(env, "ADUTORA_WORKERS", Settings.workers)),
        health_port=int(_number(env, "ADUTORA_HEALTH_PORT", Settings.health_port)),
        metrics_port=int(_number(env, "ADUTORA_METRICS_PORT", Settings.metrics_port)),
        poll=_number(env, "ADUTORA_POLL_SECONDS", Settings.poll),
        resync=_number(env, "ADUTORA_RESYNC_SECONDS", Settings.resync),
    )


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise ConfigError(f"{name} is {text!r}", hint="write a number above 0")
    return value


def _airflow(env: Mapping[str, str]) -> AirflowSettings | None:
    url = env.get("ADUTORA_AIRFLOW_URL", "").rstrip("/")
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"ADUTORA_AIRFLOW_URL is {url!r}", hint="write for example http://airflow-api-server:8080")
    for name in ("ADUTORA_AIRFLOW_USER", "ADUTORA_AIRFLOW_PASSWORD_FILE"):
        if not env.get(name):
            raise ConfigError(f"{name} is not set, and ADUTORA_AIRFLOW_URL is", hint="set both, or neither")
    return AirflowSettings(url, env["ADUTORA_AIRFLOW_USER"], Path(env["ADUTORA_AIRFLOW_PASSWORD_FILE"]))
