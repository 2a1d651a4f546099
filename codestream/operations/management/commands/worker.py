"""``manage.py worker``: judges deliveries, runs tasks, mirrors webhooks, until it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from codestream.operations.probes import serving_probes
from executions.worker import WorkerLoop


class Command(BaseCommand):
    """Run a worker in the foreground; SIGTERM and Ctrl-C end it within a second."""

    help = "Judges deliveries, runs tasks and mirrors webhooks, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=settings.WORKER_THREADS)

    def handle(self, *args: Any, **options: Any) -> None:
        loop = WorkerLoop(threads=options["threads"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        with serving_probes(settings.WORKER_METRICS_HOST, settings.WORKER_METRICS_PORT):
            loop.run()
        logging.shutdown()
        if threading.active_count() > 1:
            # A step that still waits for an answer: its row is given back, nobody needs it.
            os._exit(0)
