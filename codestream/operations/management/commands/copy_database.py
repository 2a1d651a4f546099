"""``manage.py copy_database``: moves all product data from SQLite to PostgreSQL, or back."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from codestream.core.errors import CodeStreamError
from codestream.operations import copying
from codestream.operations.copying import Comparison


class Command(BaseCommand):
    """Copy and compare, or only compare; exit with 1 when a table differs."""

    help = "Copies all product data into an empty database and compares every row."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="source", required=True, metavar="URL")
        parser.add_argument("--to", dest="target", required=True, metavar="URL")
        parser.add_argument("--verify-only", action="store_true", help="compare, copy nothing")
        parser.add_argument(
            "--force-while-running",
            action="store_true",
            help="copy although workers are alive in the source",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            copying.connect(source=options["source"], target=options["target"])
            found = self._compared(options)
        except CodeStreamError as error:
            raise CommandError(error.user_message) from error
        finally:
            copying.disconnect()
        self._show(found)
        if not all(each.is_equal for each in found):
            sys.exit(1)

    def _compared(self, options: dict[str, Any]) -> list[Comparison]:
        if options["verify_only"]:
            return copying.compare()
        return copying.copy(force=options["force_while_running"])

    def _show(self, found: list[Comparison]) -> None:
        self.stdout.write(f"{'table':<40}{'source':>10}{'target':>10}  checksum")
        for each in found:
            verdict = each.source.short if each.is_equal else "DIFFERENT"
            rows = f"{each.source.rows:>10}{each.target.rows:>10}"
            self.stdout.write(f"{each.table:<40}{rows}  {verdict}")
        total = sum(each.target.rows for each in found)
        self.stdout.write(f"{len(found)} tables, {total} rows in the target.")
