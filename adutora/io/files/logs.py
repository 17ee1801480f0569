"""Log lines by pattern: `clf`, `combined`, `syslog`, `logfmt`, or a regular expression with named groups.

The time of `clf` and `combined` is a timestamp with zone, `status` and `bytes` are numbers, `-` is no value. The time
of `syslog` (RFC 3164) has neither year nor zone and stays text; that of `logfmt` stays as the writer chose.
"""

import re
from collections.abc import Sequence

import duckdb

from adutora.errors import ConfigError
from adutora.io.casts import Target
from adutora.io.duck import literal, quote
from adutora.io.files.layout import unique_names
from adutora.io.files.lines import LINE, NUMBER, load_lines
from adutora.io.files.options import ReadOptions
from adutora.io.files.plain import Plain
from adutora.io.files.reading import SOURCE, Job, Reading, finish, kept_columns

_CLF = (
    r"(?P<host>\S+) (?P<ident>\S+) (?P<user>.*?) \[(?P<time>[^\]]+)\] "
    r'"(?P<request>(?:[^"\\]|\\.)*)" (?P<status>[0-9]{3}|-) (?P<bytes>[0-9]+|-)'
)
_COMBINED = _CLF + r' "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
_SYSLOG = (
    r"(?:<(?P<priority>[0-9]{1,3})>)?(?P<time>[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}) "
    r"(?P<host>\S+) (?P<app>[^:\[ ]+)(?:\[(?P<pid>[0-9]+)\])?: ?(?P<message>.*)"
)
_NAMED = {"clf": _CLF, "combined": _COMBINED, "syslog": _SYSLOG}
_NUMBERS = {"status": "INTEGER", "bytes": "BIGINT", "priority": "INTEGER", "pid": "BIGINT"}
_CLF_TIME = "%d/%b/%Y:%H:%M:%S %z"
_PAIR = r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)'
_MOST_KEYS = 1000


def read_log(job: Job, plains: Sequence[Plain]) -> Reading:
    """Copy the lines' parts into a table; lines that do not match are set aside."""
    if job.options.log is None:
        raise ConfigError("log files need to be told how to be read", hint="add `log: {pattern: combined}`, or a regex")
    con, options = job.con, job.options
    lines, raw = job.helper("lines"), job.helper("raw")
    total = load_lines(job, plains, lines)
    name = job.options.log.pattern
    query, columns, unmatched = _logfmt(con, lines) if name == "logfmt" else _by_regex(con, lines, options)
    what = name or "the regular expression"
    con.execute(
        f"INSERT INTO {quote(job.rejects)} SELECT 'line ' || {NUMBER} || ': ' || {literal(f'does not match {what}')}, "
        f"{quote(SOURCE)}, CAST(to_json({LINE}) AS VARCHAR) FROM {quote(lines)} WHERE {unmatched}"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(raw)} AS {query}")
    con.execute(f"DROP TABLE {quote(lines)}")
    where = plains[0].shown if len(plains) == 1 else "the files"
    targets = kept_columns(columns, options, where) if columns else {}
    inferred = {}
    for column in columns:
        if column in targets or options.columns or name not in _NAMED:
            continue
        if column in _NUMBERS:
            inferred[column] = _NUMBERS[column]
        elif column == "time" and name != "syslog":
            targets[column] = Target(column, "TIMESTAMP WITH TIME ZONE", f"time like {_CLF_TIME}")
    finish(job, raw, targets, inferred)
    return Reading([plain.source for plain in plains], [], total)


def group_names(regex: str) -> list[str]:
    """Return a name for each capturing group of an RE2 expression, made up for those that have none."""
    names: list[str] = []
    at, in_class = 0, False
    while at < len(regex):
        char = regex[at]
        if char == "\\":
            at += 2
            continue
        if char == "[" and not in_class:
            in_class = True
            at += 2 if regex[at + 1 : at + 2] == "]" else 3 if regex[at + 1 : at + 3] == "^]" else 1
            continue
        in_class = in_class and char != "]"
        if char == "(" and not in_class:
            named = re.match(r"\(\?P?<([A-Za-z_]\w*)>", regex[at:])
            if named:
                names.append(named[1])
            elif regex[at + 1 : at + 2] != "?":
                names.append(f"__adutora_group{len(names)}")
        at += 1
    return names


def _by_regex(con: duckdb.DuckDBPyConnection, lines: str, options: ReadOptions) -> tuple[str, list[str], str]:
    log = options.log
    regex = (log and (log.regex or _NAMED.get(log.pattern or ""))) or ""
    groups = group_names(regex)
    columns = [name for name in groups if not name.startswith("__adutora_")]
    if not columns:
        raise ConfigError(f"the regular expression {regex!r} names no group", hint="write (?P<name>…)")
    whole = literal(f"^(?:{regex})$")
    matched = f"regexp_matches({LINE}, {whole})"
    try:
        con.execute(f"SELECT regexp_matches('', {whole}), regexp_extract('', {whole}, {_list(groups)})")
    except duckdb.Error as error:
        raise ConfigError(f"the regular expression {regex!r} is no RE2: {str(error).splitlines()[0]}") from error
    named = bool(log and log.pattern)
    out = ", ".join(f"{_part(name, named)} AS {quote(name)}" for name in columns)
    query = (
        f"SELECT {out}, {quote(SOURCE)} FROM (SELECT {quote(SOURCE)}, "
        f"regexp_extract({LINE}, {whole}, {_list(groups)}) AS g FROM {quote(lines)} WHERE {matched})"
    )
    return query, columns, f"NOT {matched}"


def _part(name: str, named: bool) -> str:
    value = f"nullif(g[{literal(name)}], '')"
    if not named:
        return value
    value = f"nullif({value}, '-')"
    if name == "time":
        # A time that cannot be read stays as it is, and fails in the cast with its text.
        return f"coalesce(CAST(try_strptime({value}, {literal(_CLF_TIME)}) AS VARCHAR), {value})"
    return value


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(literal(name) for name in names) + "]"


def _logfmt(con: duckdb.DuckDBPyConnection, lines: str) -> tuple[str, list[str], str]:
    pair = literal(_PAIR)
    matched = f"regexp_matches({LINE}, {pair})"
    keys = [
        row[0]
        for row in con.execute(
            f"SELECT k FROM (SELECT unnest(regexp_extract_all({LINE}, {pair}, 1)) AS k, "
            f"unnest(range(1, 1 + len(regexp_extract_all({LINE}, {pair}, 1)))) AS n FROM {quote(lines)}) "
            f"GROUP BY k ORDER BY min(n), k LIMIT {_MOST_KEYS + 1}"
        ).fetchall()
    ]
    if len(keys) > _MOST_KEYS:
        raise ConfigError(f"more than {_MOST_KEYS} keys: this is no logfmt")
    names = unique_names(keys)
    out = ", ".join(
        f"{_unquoted(f'v[nullif(list_position(k, {literal(key)}), 0)]')} AS {quote(name)}"
        for key, name in zip(keys, names, strict=True)
    )
    query = (
        f"SELECT {out + ', ' if out else ''}{quote(SOURCE)} FROM (SELECT {quote(SOURCE)}, "
        f"regexp_extract_all({LINE}, {pair}, 1) AS k, regexp_extract_all({LINE}, {pair}, 2) AS v "
        f"FROM {quote(lines)} WHERE {matched})"
    )
    return query, list(names), f"NOT {matched}"


def _unquoted(x: str) -> str:
    inner = f"replace(replace(left(substr({x}, 2), -1), '\\\"', '\"'), '\\\\', '\\')"
    return f"CASE WHEN starts_with({x}, '\"') THEN {inner} ELSE nullif({x}, '') END"
