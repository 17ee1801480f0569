"""What Spark's exceptions mean: whose fault it is, whether a second try helps, and that in one line."""

import re
from typing import TYPE_CHECKING, Final

from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError

if TYPE_CHECKING:
    from adutora.runtime.spark.session import Starting

_LONGEST: Final = 600  # characters; the log has the whole of it
_LAST_FAILURE: Final = re.compile(r"most recent failure: (?:Lost task [^:]*?(?:\([^)]*\))*|[^:]*): (.*)", re.DOTALL)
_CONDITION: Final = re.compile(r"\[([A-Z][A-Z0-9_.]+)\]\s*(.*)", re.DOTALL)
# Conditions of Spark that speak of values, not of the statement.
_OF_DATA: Final = re.compile(
    r"CAST_|DIVIDE_BY_ZERO|REMAINDER_BY_ZERO|ARITHMETIC_OVERFLOW|NUMERIC_VALUE_OUT_OF_RANGE|CANNOT_PARSE|"
    r"INVALID_ARRAY_INDEX|USER_RAISED|SCALAR_SUBQUERY_TOO_MANY|NUMERIC_OUT_OF|INVALID_FRACTION|DATETIME_|UDF_|"
    r"MAP_KEY|NULL_MAP_KEY|BINARY_ARITHMETIC|INVALID_INDEX|MALFORMED"
)
_OF_SETTINGS: Final = re.compile(r"INVALID_CONF|CODEC_|CANNOT_MODIFY_CONFIG|CANNOT_LOAD_CLASS")
# What is told by a few words anywhere in a message, and what would be right.
_KNOWN: Final[tuple[tuple[re.Pattern[str], type[AdutoraError], str, str | None], ...]] = (
    (
        re.compile(r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|Status Code: 40[13]|NoAuthWithAWS"),
        ConfigError,
        "the lake refuses Spark's keys",
        "check secretRef of the lake's connection",
    ),
    (
        re.compile(
            r"OutOfMemoryError|Java heap space|GC overhead|exit code (?:137|52)\b|OOMKilled|UNABLE_TO_ACQUIRE_MEMORY"
        ),
        DataError,
        "Spark ran out of memory",
        "raise executors.memory, or resources.memory, of the stage",
    ),
    (
        re.compile(r"No space left on device"),
        TemporaryError,
        "Spark's scratch is full",
        "raise resources.scratch of the stage",
    ),
    (
        re.compile(r"SlowDown|AWSServiceThrottled|Status Code: 503"),
        TemporaryError,
        "the lake throttles Spark",
        None,
    ),
    (
        re.compile(r"Status Code: 5\d\d|AWSServiceIO|AWSClientIO|AWSStatus500|SdkClientException|ApiCallTimeout"),
        TemporaryError,
        "the lake did not answer Spark",
        None,
    ),
)
_PASSING: Final = re.compile(
    r"ExecutorLostFailure|FetchFailed|SparkContext was shut down|Connection (reset|refused)|ConnectException|"
    r"SocketTimeout|Max number of executor failures|Unable to create executor|RpcTimeout|stopped SparkContext"
)
_BAD_SETTING: Final = re.compile(
    r"IllegalArgumentException|NumberFormatException|ClassNotFoundException|INVALID_CONF|requirement failed"
)
_PYTHON: Final = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception|Exit)\b.*)$", re.MULTILINE)


def failure(error: BaseException, starting: "Starting | None" = None) -> AdutoraError | None:
    """Return our error for one of Spark's, None for an exception that is not Spark's."""
    if not _is_of_spark(error):
        return None
    ended = starting.ended() if starting is not None else None
    if ended is not None:
        return _gone(ended)
    return _judge(str(error), type(error).__name__)


def not_started(error: BaseException) -> AdutoraError:
    """Return our error for one that Spark's start ended with."""
    text = _whole(error)
    if "JAVA_GATEWAY_EXITED" in text:
        return ConfigError("Java ended before Spark was there", hint="the lines above in the log say why")
    if "BindException" in text:
        return TemporaryError(f"Spark cannot listen: {short(text)}")
    if _BAD_SETTING.search(text):
        return ConfigError(f"Spark refuses its settings: {short(text)}", hint="look at `conf` of the stage")
    return AdutoraError(f"Spark does not start: {short(text)}")


def _whole(error: BaseException) -> str:
    """Return an exception's text with those of its causes, which PySpark keeps apart."""
    texts, cause = [str(error) or type(error).__name__], getattr(error, "_cause", None)
    while cause is not None:
        texts.append(f"Caused by: {cause}")
        cause = getattr(cause, "_cause", None)
    return "\n".join(texts)


def described(error: BaseException) -> str | None:
    """Return an exception of Spark in one line, None for any other."""
    return f"{type(error).__name__}: {short(str(error))}" if _is_of_spark(error) else None


def _is_of_spark(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("pyspark", "py4j") or isinstance(error, ConnectionError)


def _gone(code: int) -> AdutoraError:
    if code in (-9, 137):
        raise MemoryError("Spark's JVM was killed by signal 9")
    if code == 11:
        message = "executors failed too often, and Spark gave up"
        return TemporaryError(message, hint="the lines above in the log, and the executors' own, say why")
    return TemporaryError(f"Spark's JVM ended with code {code}", hint="the lines above in the log say why")


def _judge(text: str, name: str) -> AdutoraError:
    line = short(text)
    for pattern, kind, what, hint in _KNOWN:
        if pattern.search(text):
            return kind(f"{what}: {line}", hint=hint)
    condition = _CONDITION.search(line)
    if condition is not None and _OF_DATA.match(condition[1]):
        return DataError(f"the data does not fit: {line}")
    if name in ("AnalysisException", "ParseException") or (condition is not None and _OF_SETTINGS.match(condition[1])):
        return ConfigError(f"Spark refuses: {line}")
    return (
        TemporaryError(f"Spark lost executors: {line}") if _PASSING.search(text) else DataError(f"Spark failed: {line}")
    )


def short(text: str) -> str:
    """Return the line of a message that says what happened, without the stack around it."""
    last = _LAST_FAILURE.search(text)
    inner = last[1] if last else text
    if "PythonException" in inner or "Traceback (most recent call last)" in inner:
        raised = _PYTHON.findall(inner.partition("\n\tat ")[0])
        if raised:
            return _cut(raised[-1])
    condition = _CONDITION.search(inner)
    if condition is not None:
        return _cut(f"[{condition[1]}] {_sentence(condition[2])}")
    caused = re.findall(r"Caused by: (?:[\w.$]+\.)?(\w+(?::[^\n]*)?)", inner)
    first = inner.strip().partition("\n")[0]
    first = re.sub(r"^An error occurred while calling [^:]*:?\s*:?", "", first).strip()
    if not first and "\n" in inner:
        first = inner.strip().splitlines()[1].lstrip(": ").strip()
    first = re.sub(r"^(?:[a-z][\w$]*\.)+(\w+)", r"\1", first)
    return _cut(f"{first}: {caused[-1]}" if caused and caused[-1] not in first else first)


def _sentence(text: str) -> str:
    """Return what a condition says, without the query that it shows and its hints to settings."""
    plain = re.split(r"\n\s*(?:== |at |JVM|;|')|\n\tat |SQLSTATE| If necessary set ", text)[0]
    return " ".join(plain.split()).rstrip(" ;")


def _cut(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
