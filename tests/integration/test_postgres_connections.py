"""A pooled connection is looked at before it is used again: the server may have ended it."""

from __future__ import annotations

from typing import Any, LiteralString, cast

import psycopg
import pytest
from django.db import connection

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only its connections are pooled"),
]


def server_process() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def a_pool_of_one() -> None:
    django = cast(Any, connection)
    django.close()
    django.close_pool()
    django.pool.open(wait=True)


def ask_from_elsewhere(question: LiteralString, *values: object) -> None:
    given: dict[str, Any] = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{name: given[name] for name in names}, autocommit=True) as other:
        other.execute(question, values)


def test_a_connection_that_lives_is_used_again() -> None:
    first = server_process()
    connection.close()

    assert server_process() == first


def test_a_connection_that_the_server_has_ended_is_replaced() -> None:
    first = server_process()
    connection.close()
    ask_from_elsewhere("SELECT pg_terminate_backend(%s, 10000)", first)

    assert server_process() != first


def test_a_connection_to_which_the_server_has_said_something_is_used_again() -> None:
    first = server_process()
    with connection.cursor() as cursor:
        cursor.execute("LISTEN test_of_the_pool")
    connection.close()
    ask_from_elsewhere("NOTIFY test_of_the_pool")

    assert server_process() == first
