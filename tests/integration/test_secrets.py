"""Secrets at rest: ciphertext in the database and in a dump, and back again."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django.fixtures import Settings

from codestream.core.crypto import UndecipherableError, decrypt, encrypt
from codestream.core.keys import read_or_make
from codestream.projects.models import Variable
from endpoints.models import Endpoint
from tests.factories import DockerRegistryFactory, VariableFactory

SECRET = "a-password-that-was-typed"


@pytest.mark.django_db
def test_a_dump_holds_no_secret_and_brings_every_one_back(tmp_path: Path) -> None:
    VariableFactory(name="kept", type="SECRET", value=SECRET)
    DockerRegistryFactory(name="hub", credentials={"password": SECRET})
    dump = tmp_path / "dump.json"
    call_command("dumpdata", "accounts", "projects", "endpoints", output=str(dump))
    Endpoint.objects.all().delete()
    Variable.objects.all().delete()

    call_command("loaddata", str(dump), verbosity=0)

    text = dump.read_text()
    assert SECRET not in text
    assert base64.b64encode(SECRET.encode()).decode() not in text
    assert Variable.objects.get(name="kept").value == SECRET
    assert Endpoint.objects.get(name="hub").credentials == {"password": SECRET}


@pytest.mark.django_db
def test_the_database_holds_ciphertext() -> None:
    VariableFactory(value=SECRET)
    DockerRegistryFactory(credentials={"password": SECRET})

    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM projects_variable")
        rows = cursor.fetchall()
        cursor.execute("SELECT credentials FROM endpoints_endpoint")
        rows += cursor.fetchall()

    assert len(rows) == 2
    assert SECRET not in json.dumps(rows)


def test_a_value_of_a_lost_key_says_which_setting_is_missing(settings: Settings) -> None:
    ciphertext = encrypt(SECRET)
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]

    with pytest.raises(UndecipherableError, match="ENCRYPTION_KEYS"):
        decrypt(ciphertext)


def test_an_older_key_still_opens_what_it_closed(settings: Settings) -> None:
    ciphertext = encrypt(SECRET)
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["A" * 43 + "=", *old]

    assert decrypt(ciphertext) == SECRET


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"

    first, second = read_or_make(path, lambda: "first"), read_or_make(path, lambda: "second")

    assert (first, second) == ("first", "first")
    assert path.stat().st_mode & 0o777 == 0o600
