"""Bare limits: what the same machine and database do when there is nothing but the writing.

One table without indexes besides its key, written over Django's connection and without its models,
and calls to the cluster without a client library.
"""

from __future__ import annotations

import http.client
import uuid

from django.db import connection, transaction

INSERT = "INSERT INTO bare (id, state, body) VALUES (%s, 0, %s)"


def create_table() -> None:
    """Make the table in the database at hand."""
    binary = "blob" if connection.vendor == "sqlite" else "bytea"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE bare (id varchar(32) PRIMARY KEY, state integer, body {binary})"
        )


def insert(body: bytes) -> str:
    """Write one row and commit it; return its key."""
    key = uuid.uuid4().hex
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [key, body])
    return key


def step(key: str, note: bytes) -> None:
    """Do what one step of a worker cannot do without: a claim and a result, each committed.

    Both are transactions of two statements: look and claim, write the result and tell of it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT state FROM bare WHERE id = %s", [key])
        cursor.execute("UPDATE bare SET state = state + 1 WHERE id = %s", [key])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE bare SET state = state + 1 WHERE id = %s", [key])
        cursor.execute(INSERT, [uuid.uuid4().hex, note])


def call(place: str, times: int) -> None:
    """Ask the cluster at ``host:port`` so many times, over one new connection."""
    client = http.client.HTTPConnection(place)
    for _ in range(times):
        client.request("GET", "/apis/apps/v1")
        client.getresponse().read()
    client.close()
