"""What the log looks like: one line of text, or one JSON object, for each thing that happened.

Used by the settings and by the web server's own configuration, so that both write alike. Each
handler says what a line is about and hides secrets, whoever wrote it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from codestream.core.errors import ConfigurationError
from codestream.core.redact import redact_text

FORMATS = ("plain", "json")
PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s%(about)s"
QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class JsonLines(JsonFormatter):
    """One object a line: time, level, logger, message, the ids it is about, and the exception."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Take what every record has; what libraries attach to theirs is left out."""
        log_data.update(getattr(record, "ids", {}))
        log_data["time"] = datetime.fromtimestamp(record.created, tz=UTC).isoformat()
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        if trace := record.exc_text or message_dict.get("exc_info"):
            log_data["exception"] = trace
        if record.stack_info:
            log_data["stack"] = record.stack_info

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Hide secrets in every field."""
        return {name: redact_text(str(value)) for name, value in log_data.items()}


class NoProbesFilter(logging.Filter):
    """Drops the access log's lines of probes and scrapes that went well."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep whatever is no such line; gunicorn's arguments are a mapping of its letters."""
        line = record.args if isinstance(record.args, dict) else {}
        return line.get("U") not in QUIET_PATHS or not str(line.get("s", "")).startswith("2")


def logging_settings(*, style: str, level: str) -> dict[str, Any]:
    """Return the configuration of ``logging``; ``style`` is one of ``FORMATS``.

    Raises ConfigurationError for another one.
    """
    if style not in FORMATS:
        raise ConfigurationError(f"LOG_FORMAT is {style!r}; set it to {' or '.join(FORMATS)}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "about": {"()": "codestream.core.log_context.AboutFilter"},
            "no_probes": {"()": "codestream.core.logs.NoProbesFilter"},
            "redact": {"()": "codestream.core.redact.RedactingFilter"},
        },
        "formatters": {
            "plain": {"format": PLAIN},
            "json": {"()": "codestream.core.logs.JsonLines"},
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": style,
                "filters": ["about", "redact"],
            }
        },
        "loggers": {
            # A refused request is no fault: its traceback says nothing that the access log does
            # not.
            "django.request": {"level": "ERROR"},
            "procrastinate": {"level": "WARNING"},
        },
        "root": {"handlers": ["console"], "level": level},
    }


def web_server_logging(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the same configuration with gunicorn's own loggers in it."""
    own = {"handlers": ["console"], "level": "INFO", "propagate": False}
    access = {**own, "filters": ["no_probes"]}
    loggers = {**settings["loggers"], "gunicorn.error": own, "gunicorn.access": access}
    return {**settings, "loggers": loggers}
