"""The database connection of a worker's thread: rested between two pieces of work, and closed when
something is wrong with it.
"""

from __future__ import annotations

import logging

from django.db import connection

logger = logging.getLogger(__name__)


def rest_connection() -> None:
    """Give the connection back to the pool of this process, where there is one."""
    if connection.vendor != "sqlite":
        close_connection()


def close_connection() -> None:
    """Have the next question of this thread asked over a new connection."""
    try:
        connection.close()
    except Exception:
        # It is forgotten all the same.
        logger.exception("A connection could not be closed.")
