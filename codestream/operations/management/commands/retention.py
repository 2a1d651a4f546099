"""``manage.py retention``: deletes what has been kept long enough, as workers do by themselves."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from codestream.operations import retention
from codestream.operations.log_files import rotate


class Command(BaseCommand):
    """Delete what is outdated, all of it, or only say what that is."""

    help = "Deletes executions, deliveries, sessions and logs that have been kept long enough."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            for name, count in retention.survey().items():
                self.stdout.write(f"{count:>8}  {name}")
            self.stdout.write("Nothing was deleted.")
            return
        counts, _more = retention.clean(lambda: False)
        counts["log files"] = len(rotate(retention.log_policy()))
        self.stdout.write(retention.in_words(counts))
