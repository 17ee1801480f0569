"""What a notification's pod does: `python -P -m adutora.runtime.pod notify`, told by ADUTORA_NOTICE what to tell."""

import json
from collections.abc import Mapping

from adutora.errors import ConfigError
from adutora.runtime.entry import stage_log
from adutora.runtime.notices import NOTICE, Notice
from adutora.runtime.notify import Home, tell
from adutora.runtime.outcome import Outcome
from adutora.runtime.pod_task import lake_root, read_config, work_dir


def notify(env: Mapping[str, str]) -> Outcome:
    """Tell everybody. Raises ConfigError where a variable is not what it should be."""
    config, log, outcome = read_config(env), stage_log(), Outcome()
    try:
        notice = Notice.from_json(json.loads(env[NOTICE]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{NOTICE} is no notice of a run's end: {error!r}") from error
    home = Home(work_dir(env) / "project", lake_root(config.lake["root"], "spec.lake.root"))
    problems = tell(config, home, notice, log)
    for problem in problems:
        log.error("%s", problem)
    if problems:
        outcome.fail(max(problems, key=lambda each: each.exit_code))
        outcome.error = "; ".join(each.message for each in problems)
    return outcome
