"""During an upgrade processes of the release before go on working, on the new tables."""

from __future__ import annotations

from django.db.migrations import AddField
from django.db.migrations.loader import MigrationLoader
from django.db.models import NOT_PROVIDED

BEFORE_THE_FIRST_RELEASE = {"accounts": "0003", "executions": "0004", "webhooks": "0007"}
"""The last migration of each app that nobody has applied under load."""
OURS = {"accounts", "endpoints", "executions", "operations", "pipelines", "projects", "webhooks"}


def test_a_new_column_can_be_left_out_by_the_release_before() -> None:
    refused = [
        f"{migration}: {operation.name}"
        for migration in MigrationLoader(None).disk_migrations.values()
        for operation in migration.operations
        if migration.app_label in OURS
        and migration.name[:4] > BEFORE_THE_FIRST_RELEASE.get(migration.app_label, "0000")
        and isinstance(operation, AddField)
        and not (
            operation.field.null
            or operation.field.many_to_many
            or operation.field.db_default is not NOT_PROVIDED
        )
    ]

    assert not refused, f"Give these null=True or a db_default: {refused}"
