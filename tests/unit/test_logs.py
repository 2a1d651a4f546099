"""What a line of the log looks like, and that no secret gets into it in either form."""

from __future__ import annotations

import json
import logging
from io import StringIO
from logging.config import DictConfigurator

import pytest

from codestream.core.errors import ConfigurationError
from codestream.core.log_context import logging_about
from codestream.core.logs import NoProbesFilter, logging_settings, web_server_logging


class Sink:
    """A logger that is configured like the product's, and what it wrote."""

    def __init__(self, style: str) -> None:
        settings = logging_settings(style=style, level="INFO")
        made = DictConfigurator(settings)
        parts = {
            "filters": {
                name: made.configure_filter(each) for name, each in settings["filters"].items()
            },
            "formatters": {
                name: made.configure_formatter(each)
                for name, each in settings["formatters"].items()
            },
        }
        made.config.update(parts)
        self.text = StringIO()
        handler = made.configure_handler(dict(settings["handlers"]["console"]))
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(self.text)
        self.logger = logging.getLogger("codestream.test")
        self.logger.handlers = [handler]
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)

    def line(self) -> str:
        return self.text.getvalue().rstrip("\n")


@pytest.fixture
def plain() -> Sink:
    return Sink("plain")


@pytest.fixture
def as_json() -> Sink:
    return Sink("json")


def test_a_plain_line_ends_with_what_it_is_about(plain: Sink) -> None:
    with logging_about(request="r-1"), logging_about(task="t-1"):
        plain.logger.info("Applied %s", "web")

    assert plain.line().endswith("INFO codestream.test Applied web [request=r-1 task=t-1]")


def test_a_line_about_nothing_ends_with_its_message(plain: Sink) -> None:
    with logging_about(task="t-1"):
        pass
    plain.logger.info("Started")

    assert plain.line().endswith("codestream.test Started")


def test_a_json_line_holds_its_ids_as_fields(as_json: Sink) -> None:
    with logging_about(event="e-1"):
        as_json.logger.warning("Judged %s", "web")

    found = json.loads(as_json.line())
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "event": "e-1",
        "level": "WARNING",
        "logger": "codestream.test",
        "message": "Judged web",
    }


@pytest.mark.parametrize("style", ["plain", "json"])
def test_no_secret_is_written_in_a_message_or_a_traceback(style: str) -> None:
    sink = Sink(style)

    try:
        raise ValueError("https://cd.example.com/hook?secureToken=very-secret-indeed")
    except ValueError:
        sink.logger.exception("Failed with Authorization: Bearer very-secret-indeed")

    assert "ValueError" in sink.line()
    assert "very-secret-indeed" not in sink.line()


def test_what_a_library_attaches_to_its_record_stays_out_of_json(as_json: Sink) -> None:
    as_json.logger.info("Refused", extra={"request": "password=1"})

    assert "password" not in as_json.line()


def test_an_unknown_format_is_refused_with_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="LOG_FORMAT is 'xml'; set it to plain or json"):
        logging_settings(style="xml", level="INFO")


@pytest.mark.parametrize(
    ("path", "status", "kept"),
    [("/healthz", "200", False), ("/readyz", "503", True), ("/executions/", "200", True)],
)
def test_probes_that_went_well_are_not_in_the_access_log(
    path: str, status: str, kept: bool
) -> None:
    letters = {"U": path, "s": status}
    record = logging.LogRecord("gunicorn.access", logging.INFO, "", 0, "%(U)s", (letters,), None)

    assert NoProbesFilter().filter(record) is kept


def test_the_web_server_logs_like_everything_else() -> None:
    settings = logging_settings(style="json", level="INFO")

    found = web_server_logging(settings)

    assert found["handlers"] == settings["handlers"]
    assert found["loggers"]["gunicorn.access"]["filters"] == ["no_probes"]
    assert found["loggers"]["procrastinate"] == {"level": "WARNING"}
