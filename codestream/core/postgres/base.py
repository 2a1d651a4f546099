"""Django's backend for PostgreSQL, whose pool gives out no connection that the server has ended."""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that is looked at before it is used again.

    ``CONN_HEALTH_CHECKS`` would ask the server each time, which costs as much as a question.
    """

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        """Take one from the pool; those that have died meanwhile go back, and are replaced."""
        while True:
            connection: Connection[Any] = super().get_new_connection(conn_params)
            if self.pool is None or not _has_died(connection):
                return connection
            connection.close()
            self.pool.putconn(connection)


def _has_died(connection: Connection[Any]) -> bool:
    """Whether the server has ended it: then its socket can be read, up to its end. Whatever else
    the server may have said, which is rare, one question shows.
    """
    try:
        if not _is_told_something(connection.pgconn.socket):
            return False
        ConnectionPool.check_connection(connection)
    except OperationalError:
        return True
    return False


def _is_told_something(socket: int) -> bool:
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))
