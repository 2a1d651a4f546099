"""The page *Workers* of the administration."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from codestream.core.clock import now
from executions.models import TaskRun, Worker
from tests.factories import (
    ExecutionFactory,
    UserFactory,
)
from tests.integration.cast import ROLES, Cast

pytestmark = pytest.mark.django_db


def worker(*, heartbeat_at: datetime | None = None) -> Worker:
    return Worker.objects.create(
        pk=uuid.uuid4(),
        host="build-1",
        pid=42,
        threads=8,
        release="0.1.0",
        heartbeat_at=heartbeat_at or now(),
    )


def admin_page(url: str) -> str:
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client.get(url).content.decode()


def test_the_workers_page_shows_who_lives_and_who_is_lost() -> None:
    worker()
    worker(heartbeat_at=now() - timedelta(minutes=5))

    text = admin_page(reverse("admin:executions_worker_changelist"))

    assert text.count("build-1:42") == 2
    assert text.count(">Alive<") == text.count(">Lost<") == 1
    assert "5 min 0 s ago" in text


def test_the_workers_page_shows_how_far_a_clock_is_off() -> None:
    worker()
    Worker.objects.update(clock_ahead=-90.0)

    assert "-90.0 s" in admin_page(reverse("admin:executions_worker_changelist"))


def test_a_worker_shows_what_it_holds_and_since_when() -> None:
    mine = worker()
    task = TaskRun.objects.get(stage_run__execution=ExecutionFactory.create())
    TaskRun.objects.filter(pk=task.pk).update(
        lease_owner=mine.pk, leased_at=now() - timedelta(seconds=12), wake_at=now()
    )

    text = admin_page(reverse("admin:executions_worker_change", args=[mine.pk]))

    place = reverse("admin:executions_taskrun_change", args=[task.pk])
    assert f'task <a href="{place}">Apply</a>, 12 s<br>' in text
    assert 'name="_save"' not in text


def test_workers_are_for_the_administration_only(cast: Cast) -> None:
    url = reverse("admin:executions_worker_changelist")

    assert cast.answers("GET", url) == dict.fromkeys(ROLES, 302)
    assert "executions/worker/add" not in admin_page(reverse("admin:index"))
