"""Serves probes and metrics beside a worker, on machines that run no web process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponse

from codestream.operations.middleware import PROBES

AGAIN_SECONDS = 5.0
LOOK_SECONDS = 0.2
logger = logging.getLogger(__name__)


class ProbesOnly(WSGIHandler):
    """Django with the probes and nothing else behind it: no page, no API, no session."""

    def get_response(self, request: HttpRequest) -> HttpResponse:
        """Answer a probe, 404 to everything else."""
        view = PROBES.get(request.path_info)
        try:
            return view(request) if view else HttpResponse("Not found.\n", status=404)
        finally:
            # The thread ends with the request, and its connection with it.
            connections.close_all()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    timeout = LOOK_SECONDS


class _Exchange(WSGIRequestHandler):
    timeout = 10
    """A client that says nothing does not hold a thread for ever."""

    def log_message(self, *_words: object) -> None:
        """Leave the access log out: it would hold nothing but scrapes."""


@contextmanager
def serving_probes(host: str, port: int) -> Iterator[None]:
    """Serve at this place for the length of a ``with`` block; at port 0 nothing is served.

    While another worker of this machine has the place, this one waits for it to become free.
    """
    if not port:
        yield
        return
    stopping = threading.Event()
    serving = threading.Thread(target=_serve, args=(host, port, stopping), name="probes")
    serving.start()
    try:
        yield
    finally:
        stopping.set()
        serving.join()


def _serve(host: str, port: int, stopping: threading.Event) -> None:
    application, has_told = ProbesOnly(), False
    while not stopping.is_set():
        try:
            server = _Server((host, port), _Exchange)
        except OSError as error:
            if not has_told:
                logger.warning("No metrics at %s:%s yet: %s.", host, port, error.strerror)
            has_told = True
            stopping.wait(AGAIN_SECONDS)
            continue
        server.set_app(application)
        with server:
            logger.info("Metrics and probes are at http://%s:%s.", host, port)
            while not stopping.is_set():
                server.handle_request()
