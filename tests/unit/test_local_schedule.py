import datetime as dt

import pytest

from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError
from adutora.local.schedule import run_info

NOW = dt.datetime(2026, 3, 1, 2, 30, tzinfo=dt.UTC)  # still the last of February in São Paulo


def config(*triggers: dict[str, object], timezone: str = "UTC") -> DagConfig:
    return DagConfig("p", "default", (), timezone, {}, triggers=triggers)


def test_without_a_cron_the_date_is_today_in_the_zone() -> None:
    info = run_info(config(timezone="America/Sao_Paulo"), "r", NOW, None)
    assert (info.date, info.scheduled_at, info.interval_start) == ("2026-02-28", None, None)


def test_a_cron_gives_the_last_slot_and_its_interval() -> None:
    info = run_info(config({"cron": "@daily", "timezone": "America/Sao_Paulo"}), "r", NOW, None)
    assert info.date == "2026-02-28"
    assert info.scheduled_at == info.interval_end == "2026-02-28T03:00:00+00:00"
    assert info.interval_start == "2026-02-27T03:00:00+00:00"


def test_a_given_date_stands_for_its_day() -> None:
    info = run_info(config({"cron": "0 6 * * *"}), "r", NOW, "2026-01-15")
    assert (info.date, info.scheduled_at) == ("2026-01-15", "2026-01-15T06:00:00+00:00")


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="no date"):
        run_info(config(), "r", NOW, "15/01/2026")
