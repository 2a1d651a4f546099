"""How SQLite would answer the questions that a test has heard."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

BIG = (
    "executions_execution",
    "executions_stagerun",
    "executions_taskrun",
    "executions_executionevent",
    "executions_imagepush",
    "webhooks_refuseddelivery",
    "webhooks_registryevent",
)


def plan_of(asked: CaptureQueriesContext) -> list[str]:
    """The steps of all queries, as ``EXPLAIN QUERY PLAN`` words them."""
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
