from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django import forms
from django.template import Context, Template
from pytest_django.fixtures import Settings

from codestream.core.statuses import look_of
from codestream.core.times import in_words, short_time
from executions.states import Status
from webhooks.matching import StepOutcome, Verdict

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class SmallForm(forms.Form):
    name = forms.CharField(label="Name", help_text="Letters only.")
    kept = forms.BooleanField(label="Keep it", required=False)


def render(source: str, **context: object) -> str:
    return Template("{% load look %}" + source).render(Context(context))


def test_a_status_is_an_icon_and_a_word_and_a_tone() -> None:
    html = render('{% pill "FAILED_CONTINUE" %}')

    assert 'data-status="failed-continue"' in html
    assert "icons.svg#i-warning" in html
    assert "Failed, went on" in html


def test_a_running_status_turns() -> None:
    assert "spin" in render('{% state "RUNNING" %}')


def test_an_unknown_status_is_shown_as_it_is() -> None:
    assert look_of("SOMETHING_NEW").word == "Something new"


def test_a_status_word_cannot_bring_markup() -> None:
    assert "<script>" not in render("{% state word %}", word="<script>")


def test_every_icon_named_by_a_status_is_in_the_sprite(settings: Settings) -> None:
    sprite = (settings.BASE_DIR / "static/icons.svg").read_text()

    words = {*Status, *Verdict, *StepOutcome, "in-sync", "drift", "expiring", "expired"}
    missing = [word for word in words if f'id="i-{look_of(word).icon}"' not in sprite]

    assert missing == []


def test_a_field_in_error_is_tied_to_its_message_and_takes_the_focus() -> None:
    html = render("{% field form.name %}", form=SmallForm({"name": ""}))

    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'id="id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert "autofocus" in html


def test_a_field_without_error_is_quiet() -> None:
    html = render("{% field form.name %}", form=SmallForm())

    assert "aria-invalid" not in html
    assert 'class="input"' in html


def test_the_note_on_top_links_to_the_fields_in_error() -> None:
    html = render("{% errors form %}", form=SmallForm({"name": ""}))

    assert '<a href="#id_name">Name</a>' in html


def test_the_first_error_is_the_first_of_the_form_whenever_it_was_found() -> None:
    form = SmallForm({"name": ""})
    form.add_error("kept", "Say it.")
    form.errors["name"] = form.errors.pop("name")

    html = render("{% errors form %}{% field form.name %}{% field form.kept %}", form=form)

    assert html.index("#id_name") < html.index("#id_kept")
    assert html.count("autofocus") == 1
    assert html.index("autofocus") < html.index('name="kept"')


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (NOON - timedelta(hours=1), "11:00 today"),
        (NOON - timedelta(days=1), "12:00 yesterday"),
        (NOON - timedelta(days=30), "23 Oct, 12:00"),
        (NOON - timedelta(days=365), "22 Nov 2025"),
    ],
)
def test_a_time_is_said_as_shortly_as_it_can_be(
    settings: Settings, moment: datetime, words: str
) -> None:
    settings.TIME_ZONE = "UTC"

    assert short_time(moment, now=NOON) == words


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(milliseconds=400), "0.4 s"),
        (timedelta(seconds=12), "12 s"),
        (timedelta(seconds=185), "3 min 5 s"),
        (timedelta(minutes=130), "2 h 10 min"),
        (timedelta(seconds=-3), "0.0 s"),
    ],
)
def test_a_duration_is_said_in_words(length: timedelta, words: str) -> None:
    assert in_words(length) == words
