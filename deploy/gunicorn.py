"""gunicorn's settings: threads, and logs that never hold a query string (it may carry a secret)."""

import gc
import os
import signal

from codestream import settings
from codestream.core.logs import web_server_logging
from codestream.supervisor import die_with

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
# Threads are cheap, and a slow sender holds one: put a proxy in front of a server that is public.
workers = int(os.environ.get("WEB_PROCESSES", "2"))
threads = int(os.environ.get("WEB_THREADS", "64"))
timeout = 30
graceful_timeout = 5
control_socket_disable = True
proc_name = "codestream-web"
accesslog = "-"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms request=%({x-request-id}o)s'
logconfig_dict = web_server_logging(settings.LOGGING)


def post_fork(server, worker):
    """End in order when the server is killed: it is started again, and needs the port."""
    die_with(server.pid, signal.SIGTERM)


def post_worker_init(worker):
    """Take what is loaded out of the collector's sight: looking through it stops every thread."""
    gc.collect()
    gc.freeze()


def child_exit(server, worker):
    """Forget the gauges of a process that is gone; what it has counted stays in the sums."""
    # Imported late: the settings say first where processes count.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
