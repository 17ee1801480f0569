"""Messages to people and programs: Slack, a webhook, e-mail.

Addresses are secrets. A text of others is data: nothing in it becomes markup, a header or a mention.
"""

import json
import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import httpx

from adutora import __version__
from adutora.errors import AdutoraError, ConfigError, TemporaryError
from adutora.io.connections import Connection

PAUSES = (1.0, 5.0)  # seconds between tries
TIMEOUT = 15.0
_TLS_PORT = 465
_TOO_MANY, _REDIRECT, _SERVER_ERROR = 429, 300, 500


@dataclass(frozen=True)
class Message:
    """What is told: a subject, plain text in lines, and the same for programs."""

    subject: str
    lines: tuple[str, ...]
    data: dict[str, Any]


def send(connection: Connection, message: Message) -> None:
    """Send a message, again while nobody answers. Raises TemporaryError, or ConfigError where it is refused."""
    senders: dict[str, Callable[[Connection, Message], None]] = {"slack": _slack, "webhook": _webhook, "smtp": _mail}
    sender = senders.get(connection.type)
    if sender is None:
        raise ConfigError(
            f"connection {connection.name} is of type {connection.type}; slack, webhook or smtp is needed"
        )
    for pause in (*PAUSES, None):
        try:
            return sender(connection, message)
        except TemporaryError:
            if pause is None:
                raise
            time.sleep(pause)
    return None


def _slack(connection: Connection, message: Message) -> None:
    text = "\n".join((f"*{_plain(message.subject)}*", *map(_plain, message.lines)))
    _post(connection, {"text": text})


def _plain(text: str) -> str:
    """Keep Slack from reading a mention or a link into a text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _webhook(connection: Connection, message: Message) -> None:
    _post(connection, message.data)


def _post(connection: Connection, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"adutora/{__version__}"}
    try:
        answer = httpx.post(
            connection.secret("url"), content=json.dumps(body), headers=headers, timeout=TIMEOUT, follow_redirects=False
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as error:
        hint = "write for example https://hooks.example.com/x into the secret's key `url`"
        raise ConfigError(f"connection {connection.name}: its url is none: {error}", hint=hint) from error
    except httpx.HTTPError as error:
        raise TemporaryError(f"connection {connection.name} does not answer: {error!r}") from error
    if answer.status_code >= _SERVER_ERROR or answer.status_code == _TOO_MANY:
        raise TemporaryError(f"connection {connection.name} answers {answer.status_code}")
    if answer.status_code >= _REDIRECT:
        said = answer.text[:200].strip()
        raise ConfigError(f"connection {connection.name} refuses: {answer.status_code} {said}".rstrip())


def _mail(connection: Connection, message: Message) -> None:
    settings = connection.settings
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.subject, settings.sender, ", ".join(settings.to)
    mail.set_content("\n".join(message.lines) + "\n")
    try:
        with _server(settings.host, settings.port) as server:
            _log_in(connection, server)
            server.send_message(mail)
    except AdutoraError:
        raise
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
        raise ConfigError(f"connection {connection.name} refuses: {error}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise TemporaryError(f"connection {connection.name} does not answer: {error!r}") from error


def _server(host: str, port: int) -> smtplib.SMTP:
    if port == _TLS_PORT:
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=TIMEOUT)


def _log_in(connection: Connection, server: smtplib.SMTP) -> None:
    """Begin TLS where the server can, and log in; a password never goes over an open line."""
    safe = isinstance(server, smtplib.SMTP_SSL)
    server.ehlo()
    if not safe and server.has_extn("starttls"):
        server.starttls(context=ssl.create_default_context())
        server.ehlo()
        safe = True
    user = connection.optional_secret("user")
    if user:
        if not safe:
            hint = "use port 465 or 587 of a server that speaks TLS, or leave the secret out"
            raise ConfigError(
                f"connection {connection.name}: the server has no TLS, and there is a password", hint=hint
            )
        server.login(user, connection.secret("password"))
