"""How the database would answer the questions that a test has heard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

BIG = (
    "executions_execution",
    "executions_stagerun",
    "executions_taskrun",
    "executions_executionevent",
    "executions_imagepush",
    "webhooks_push",
    "webhooks_refuseddelivery",
    "webhooks_registryevent",
)


def plan_of(asked: CaptureQueriesContext) -> list[str]:
    """The steps of all queries on SQLite, as ``EXPLAIN QUERY PLAN`` words them."""
    return [step for query in asked.captured_queries for step in explain(query["sql"])]


def scans(asked: CaptureQueriesContext) -> list[str]:
    """The queries that read a big table without a range of an index, and not just its beginning."""
    return [
        query["sql"]
        for query in asked.captured_queries
        if "WHERE" in query["sql"] or "LIMIT" not in query["sql"]
        for step in explain(query["sql"])
        if step.startswith("SCAN") and any(table in step for table in BIG)
    ]


def explain(sql: str) -> list[str]:
    """The steps of one query; none for what only opens or ends a transaction."""
    if not sql.lstrip("( ").startswith("SELECT"):
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return [str(row[3]) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its values beside it, as the product sent it."""

    sql: str
    params: tuple[Any, ...]


@contextmanager
def listening() -> Iterator[list[Asked]]:
    """Collect the questions that are asked inside."""
    heard: list[Asked] = []

    def hear(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if str(sql).lstrip("( ").startswith("SELECT"):
            heard.append(Asked(str(sql), tuple(params or ())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(hear):
        yield heard


def steps_of(asked: Asked, *, without: Sequence[str] = ()) -> list[str]:
    """How the database at hand answers a question whatever its values are.

    On a server this is the generic plan, for tables so large that it reads none of them whole
    where it has another way; ``without`` are more ways, as ``enable_nestloop``, that it does not
    take there.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {asked.sql}", asked.params)
            return [str(row[3]) for row in cursor.fetchall()]
    numbers = count(1)
    text = re.sub("%s", lambda _match: f"${next(numbers)}", asked.sql)
    values = ", ".join(["NULL"] * len(asked.params))
    with transaction.atomic(), connection.cursor() as cursor:
        for way in ("enable_seqscan", *without):
            cursor.execute(f"SET LOCAL {way} TO off")
        cursor.execute("SET LOCAL plan_cache_mode TO force_generic_plan")
        cursor.execute(f"PREPARE asked AS {text}")
        cursor.execute(f"EXPLAIN EXECUTE asked({values})" if values else "EXPLAIN EXECUTE asked")
        found = [str(row[0]) for row in cursor.fetchall()]
        cursor.execute("DEALLOCATE asked")
        transaction.set_rollback(True)
    return found
