"""DuckDB as a judge of SQL and regular expressions. Nothing is run, and nothing outside can be reached."""

import json
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any


@dataclass(frozen=True)
class SqlError:
    """What the parser says, and where: characters from the text's start."""

    message: str
    offset: int


@dataclass(frozen=True)
class Statement:
    """A statement: its kind as DuckDB names it, its text, and the parameters that it uses."""

    kind: str
    text: str
    parameters: frozenset[str]


class Engine:
    """A private connection in memory, sealed off."""

    def __init__(self) -> None:
        import duckdb

        # One connection serves all threads of an operator, one at a time.
        self.lock = Lock()
        self.duckdb: Any = duckdb
        self.connection: Any = duckdb.connect(
            config={"threads": 1, "errors_as_json": True, "enable_external_access": False, "memory_limit": "64MB"}
        )

    @staticmethod
    @cache
    def shared() -> "Engine":
        """The one engine of this process; made when it is first needed."""
        return Engine()

    def statements(self, sql: str) -> list[Statement] | SqlError:
        """Parse a text into statements."""
        try:
            with self.lock:
                found = self.connection.extract_statements(sql)
        except self.duckdb.Error as error:
            return _sql_error(sql, str(error))
        return [Statement(each.type.name, each.query, frozenset(each.named_parameters)) for each in found]

    def tables(self, query: str) -> frozenset[str]:
        """Tables that a SELECT reads, as it spells them, without its own CTEs. It is parsed alone, not bound."""
        with self.lock:
            row = self.connection.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchone()
        found: set[str] = set()
        own: set[str] = set()
        queue: list[Any] = [json.loads(row[0])]
        while queue:
            node = queue.pop()
            if isinstance(node, list):
                queue.extend(node)
            elif isinstance(node, dict):
                queue.extend(node.values())
                own.update(each["key"] for each in node.get("cte_map", {}).get("map", ()))
                if node.get("type") == "BASE_TABLE":
                    found.add(".".join(filter(None, (node.get("schema_name"), node["table_name"]))))
        return frozenset(found - own)

    def casts(self, text: str, kind: str) -> bool:
        """Whether a text is a value of a DuckDB type."""
        with self.lock:
            row = self.connection.execute(f"SELECT TRY_CAST($text AS {kind}) IS NOT NULL", {"text": text}).fetchone()
        return bool(row[0])

    def regex_error(self, pattern: str) -> str | None:
        """Say what is wrong with a regular expression (RE2), or None."""
        try:
            with self.lock:
                self.connection.execute("SELECT regexp_full_match('', $pattern)", {"pattern": pattern}).fetchone()
        except self.duckdb.Error as error:
            return _message(str(error))[0]
        return None

    def matches(self, pattern: str, text: str) -> bool:
        """Whether the whole text matches. Linear in the text: no pattern can hang it."""
        values = {"text": text, "pattern": pattern}
        with self.lock:
            row = self.connection.execute("SELECT regexp_full_match($text, $pattern)", values).fetchone()
        return bool(row[0])


def _message(text: str) -> tuple[str, int]:
    """Message and position in bytes of an error that DuckDB gives as JSON."""
    start = text.find("{")
    try:
        found = json.loads(text[start:])
        return str(found["exception_message"]), int(found.get("position", 0))
    except (ValueError, KeyError, TypeError):
        return text.split("\n", 1)[0], 0


def _sql_error(sql: str, text: str) -> SqlError:
    message, position = _message(text)
    return SqlError(message, len(sql.encode()[:position].decode(errors="ignore")))
