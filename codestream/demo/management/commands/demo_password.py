"""``manage.py demo_password``: gives the demo accounts a new password and prints it once."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codestream.demo.services import new_password, set_demo_password


class Command(BaseCommand):
    """Set the password of every demo account."""

    help = "Sets the password of the demo accounts to DEMO_PASSWORD, else to a random one."

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("DEMO_PASSWORD") or new_password()
        names = set_demo_password(password)
        if not names:
            raise CommandError("There is no demo in this data folder. Run `make run` first.")
        self.stdout.write(f"New password of {', '.join(names)}: {password}")
