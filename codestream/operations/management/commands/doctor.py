"""``manage.py doctor``: examines the installation and says what is wrong and what to do."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from codestream.operations.doctor import examine
from codestream.operations.findings import Finding, Grade


class Command(BaseCommand):
    """Print every finding; exit with 1 when something does not work."""

    help = "Examines the installation and says what is wrong and what to do about it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list, for programs")
        parser.add_argument("--offline", action="store_true", help="leave the endpoints alone")

    def handle(self, *args: Any, **options: Any) -> None:
        # A pool says only that it waited in vain; the server says why it refuses a connection.
        connection.settings_dict["OPTIONS"].pop("pool", None)
        found = []
        for finding in examine(offline=options["offline"]):
            found.append(finding)
            if not options["json"]:
                self._show(finding)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in found], indent=2))
        else:
            counts = Counter(finding.grade for finding in found)
            self.stdout.write(", ".join(f"{counts[grade]} {grade}" for grade in Grade))
        if any(finding.grade is Grade.FAIL for finding in found):
            sys.exit(1)

    def _show(self, finding: Finding) -> None:
        styles = {
            Grade.OK: self.style.SUCCESS,
            Grade.WARN: self.style.WARNING,
            Grade.FAIL: self.style.ERROR,
        }
        grade = styles[finding.grade](f"{finding.grade:<4}")
        self.stdout.write(f"{grade}  {finding.about}: {finding.what}")
        if finding.todo:
            self.stdout.write(f"      {finding.todo}")
