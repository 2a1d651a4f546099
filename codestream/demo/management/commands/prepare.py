"""``manage.py prepare``: brings the database up to date and creates the demo in an empty one."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from codestream.accounts.models import User
from codestream.core.metrics import forget_the_dead
from codestream.demo.services import ADMINISTRATOR, StandIns, create_demo, new_password
from webhooks.mirror import follow
from webhooks.models import DockerWebhook


class Command(BaseCommand):
    """What has to be done before the first request; harmless when it is done already."""

    help = "Migrates the database and, where it is empty, creates the demo."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._prepare()
        except OperationalError as error:
            raise CommandError(
                f"The database does not answer ({error}). See that what DATABASE_URL names runs "
                "and is reached from here, then start again."
            ) from error

    def _prepare(self) -> None:
        forget_the_dead(settings.METRICS_DIR)
        call_command("migrate", interactive=False, verbosity=0)
        if User.objects.exists():
            follow(DockerWebhook.objects.all())
            self._greet_again()
        elif stand_ins := _stand_ins():
            password = os.environ.get("DEMO_PASSWORD") or new_password()
            create_demo(stand_ins=stand_ins, password=password)
            self.stdout.write(f"Sign in as          {ADMINISTRATOR}   password  {password}")
            self.stdout.write(
                "                    (also member, viewer and outsider; the password is shown only "
                "now,\n                    `make demo-password` sets another)"
            )
        else:
            self.stdout.write("No account yet: create one with `manage.py createsuperuser`.")

    def _greet_again(self) -> None:
        if User.objects.filter(username=ADMINISTRATOR).exists():
            self.stdout.write(
                f"Sign in as          {ADMINISTRATOR}   (`make demo-password` sets a new password)"
            )


def _stand_ins() -> StandIns | None:
    names = {
        "dockerhub_url": "SANDBOX_DOCKERHUB_URL",
        "dockerhub_user": "SANDBOX_DOCKERHUB_USER",
        "dockerhub_password": "SANDBOX_DOCKERHUB_PASSWORD",
        "kubernetes_url": "SANDBOX_KUBERNETES_URL",
        "kubernetes_token": "SANDBOX_KUBERNETES_TOKEN",
    }
    found = {field: os.environ.get(name, "") for field, name in names.items()}
    return StandIns(**found) if all(found.values()) else None
