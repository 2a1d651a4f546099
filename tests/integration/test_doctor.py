"""The doctor names what is wrong and what to do, tells no secret, and is stopped by nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError
from pytest_django.fixtures import Settings

from codestream import RELEASE
from codestream.core.clock import now
from codestream.operations import doctor, doctor_neighbours, doctor_work
from codestream.operations.doctor import examine
from codestream.operations.findings import Finding, Grade
from codestream.operations.models import Chore
from endpoints.models import CheckStatus, Endpoint
from executions.models import Worker
from tests.factories import DockerRegistryFactory, RegistryEventFactory
from webhooks.matching import Verdict
from webhooks.models import DockerWebhook, RemoteHook

pytestmark = pytest.mark.django_db
OTHER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def found(about: str, *, offline: bool = True) -> list[Finding]:
    return [finding for finding in examine(offline=offline) if finding.about == about]


def one(about: str) -> Finding:
    (finding,) = found(about)
    return finding


def fault(words: str) -> list[Finding]:
    raise OperationalError(words)


def worker(release: str = RELEASE, age: timedelta = timedelta()) -> None:
    Worker.objects.create(
        pk=uuid4(), host="here", pid=1, threads=8, release=release, heartbeat_at=now() - age
    )


def test_a_sound_installation_has_nothing_that_fails() -> None:
    worker()

    assert not [each for each in examine(offline=True) if each.grade is Grade.FAIL]


def test_without_a_worker_it_says_how_to_start_one() -> None:
    finding = one("workers")

    assert finding.grade is Grade.FAIL
    assert "manage.py worker" in finding.todo


def test_a_worker_of_another_release_and_a_lost_one_are_named() -> None:
    worker()
    worker(release="0.0.9")
    worker(age=timedelta(minutes=5))

    words = [finding.what for finding in found("workers")]

    assert words[0] == "2 alive with 16 threads."
    assert words[1].startswith("here:1 runs release 0.0.9")
    assert words[2] == "1 lost in the last hour; what they held was taken over."


def test_a_worker_with_a_wrong_clock_is_named() -> None:
    worker()
    Worker.objects.update(clock_ahead=3600.0)

    words = [each.what for each in found("workers")]

    assert "The clock of here:1 is +3600.0 s from the database's." in words


def test_what_lost_workers_held_waits_where_none_lives() -> None:
    Worker.objects.all().delete()
    worker(age=timedelta(minutes=1))

    words = [each.what for each in found("workers")]

    assert "1 lost in the last hour; what they held waits for one that lives." in words


def test_secrets_that_no_key_opens_are_counted_by_their_place(
    webhook: DockerWebhook, settings: Settings
) -> None:
    settings.ENCRYPTION_KEYS = [OTHER_KEY]

    finding = one("stored secrets")

    assert finding.grade is Grade.FAIL
    assert "1 of webhooks.ListenerSecret.secret" in finding.what
    assert "ENCRYPTION_KEYS" in finding.todo


def test_a_delivery_that_nobody_judges_is_noticed() -> None:
    waiting = now() - timedelta(minutes=5)
    RegistryEventFactory.create(verdict=Verdict.PENDING, wake_at=waiting)

    words = [each.what for each in found("due rows") if each.grade is Grade.WARN]

    assert "1 of kind event wait, the first for 5 min 0 s." in words


def test_a_hook_that_docker_hub_refused_is_named_with_its_reason(webhook: DockerWebhook) -> None:
    later = now() + timedelta(minutes=5)
    RemoteHook.objects.update(error_code="forbidden", message="No rights.", wake_at=later)

    finding = one("webhook Shop/release")

    assert (finding.grade, finding.what) == (Grade.WARN, "Not created in Docker Hub: No rights.")


def test_a_hook_that_outlived_its_webhook_is_named_until_it_is_gone(
    webhook: DockerWebhook,
) -> None:
    RemoteHook.objects.update(epoch=1)
    webhook.delete()
    RemoteHook.objects.update(error_code="not_found", message="No such repository.", wake_at=None)
    name = RemoteHook.objects.get().remote_name

    finding = one(f"hook Shop/{name} in demo/web")

    assert finding.grade is Grade.WARN
    assert "No such repository." in finding.what


def test_a_hook_that_was_changed_in_docker_hub_is_named(webhook: DockerWebhook) -> None:
    RemoteHook.objects.update(actual="PRESENT", drift="DOUBLED", wake_at=None)
    assert "More than once" in one("webhook Shop/release").what


def test_a_chore_that_fails_is_named() -> None:
    Chore.objects.filter(name="retention").update(failures=3, message="Internal error.")

    assert "retention failed 3 times: Internal error." in [each.what for each in found("chores")]


def test_the_canary_is_gone_afterwards() -> None:
    names = set(Chore.objects.values_list("name", flat=True))

    assert one("writing").grade is Grade.OK
    assert set(Chore.objects.values_list("name", flat=True)) == names


@pytest.mark.parametrize(
    ("url", "grade", "words"),
    [
        ("http://127.0.0.1:8000", Grade.WARN, "which Docker Hub does not reach"),
        ("https://10.1.2.3", Grade.WARN, "which Docker Hub does not reach"),
        ("http://1.1.1.1", Grade.WARN, "is not https"),
        ("https://1.1.1.1", Grade.OK, "leads to 1.1.1.1"),
    ],
)
def test_the_public_address_is_one_that_docker_hub_can_call(
    settings: Settings, url: str, grade: Grade, words: str
) -> None:
    settings.PUBLIC_URL = url

    finding = one("PUBLIC_URL")

    assert finding.grade is grade
    assert words in finding.what


def test_what_should_not_be_open_on_a_server_is_named(settings: Settings) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.METRICS_TOKEN = True, ["*"], "short"

    grades = {one(about).grade for about in ("DEBUG", "ALLOWED_HOSTS", "METRICS_TOKEN")}

    assert grades == {Grade.WARN}


def test_a_key_that_others_may_read_is_named_with_the_command_that_helps(
    settings: Settings,
) -> None:
    key = settings.DATA_DIR / "lookup.key"
    key.chmod(0o644)

    finding = one("keys")
    key.chmod(0o600)

    assert finding.todo == f"chmod 600 {key}"


def test_endpoints_are_validated_unless_it_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    DockerRegistryFactory.create(name="hub", project__name="Shop")

    def validate(*, endpoint: Endpoint) -> Endpoint:
        endpoint.last_check_status = CheckStatus.FAILED
        endpoint.last_check_message = "The password is wrong."
        return endpoint

    monkeypatch.setattr(doctor_neighbours, "validate_endpoint", validate)

    (finding,) = found("endpoint Shop/hub", offline=False)
    assert (finding.grade, finding.what) == (Grade.FAIL, "The password is wrong.")
    assert found("endpoint Shop/hub") == []


def test_without_a_database_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def connection_and_space() -> Iterator[Finding]:
        yield from fault("connection to postgres://ada:pass-word@db failed")

    monkeypatch.setattr(doctor, "FOUNDATIONS", (connection_and_space,))

    last = list(examine(offline=True))[-1]

    assert (last.about, last.grade) == ("connection and space", Grade.FAIL)
    assert "pass-word" not in last.what


def test_one_fault_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def clock() -> Iterator[Finding]:
        yield from fault("gone")

    monkeypatch.setattr(doctor, "ROWS", (clock, doctor_work.workers))

    assert one("clock").what == "gone"
    assert one("workers").grade is Grade.FAIL


def told(**options: bool) -> str:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", offline=True, stdout=out, **options)
    assert ended.value.code == 1
    return out.getvalue()


def test_the_command_fails_when_something_does_not_work() -> None:
    text = told()

    assert "FAIL  workers: None is alive" in text
    assert text.splitlines()[-1].endswith("1 FAIL")


def test_programs_read_the_same_as_json() -> None:
    findings = json.loads(told(json=True))

    assert {"about", "grade", "what", "todo"} == set(findings[0])
    assert "FAIL" in {finding["grade"] for finding in findings}


def test_no_secret_is_told(webhook: DockerWebhook, settings: Settings) -> None:
    text = told()

    stored = [webhook.secrets.get().secret, webhook.api_token, webhook.endpoint.credentials]
    secrets = [*map(str, stored), settings.METRICS_TOKEN, *settings.ENCRYPTION_KEYS]
    assert not [secret for secret in secrets if secret in text]


@pytest.mark.parametrize("password", ["hid/den", "12/hid", "12#hid", "12?hid"])
def test_a_password_that_is_not_encoded_is_told_to_nobody(tmp_path: Path, password: str) -> None:
    made = run_doctor(tmp_path, f"postgres://codestream:{password}@127.0.0.1/codestream")

    assert made.returncode != 0
    assert "DATABASE_URL cannot be read" in made.stderr
    assert "hid" not in made.stdout + made.stderr


def test_the_words_of_a_server_that_refuses_are_told(tmp_path: Path) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        port = nobody_listens.getsockname()[1]
        made = run_doctor(tmp_path, f"postgres://codestream:hidden@127.0.0.1:{port}/codestream")

    assert made.returncode == 1
    assert "Connection refused" in made.stdout
    assert "hidden" not in made.stdout + made.stderr


def run_doctor(data: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run it as a person does, on this database."""
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", "--offline"],
        env={
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "codestream.settings",
            "DATA_DIR": str(data),
        },
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
