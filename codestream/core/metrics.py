"""What processes count for Prometheus; how it is served is for ``codestream.operations``.

Every process counts into files of its own in ``settings.METRICS_DIR``, and whoever is asked adds
them up. The folder must belong to processes of one machine that see each other's numbers.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from prometheus_client import Counter, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

RESERVED = 2 * 1024 * 1024
"""More than all counts of a process need."""
LEAST = 8
"""What prometheus_client reads before it knows how much of a file is used."""


class ReservedFile(MmapedDict):
    """A file of counts that has its room on the disk from the start.

    prometheus_client maps a file with holes into memory; on a full disk the first count that
    falls into a hole would end the process with SIGBUS.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        place = filename if read_mode else _reserve(filename)
        super().__init__(place, read_mode)  # type: ignore[no-untyped-call]


def _reserve(filename: str) -> str:
    """Give the file its room; where there is none left return a place in memory instead, from
    which nobody scrapes.
    """
    try:
        shrink_the_dead(Path(filename).parent)
        with Path(filename).open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVED)
    except OSError:
        Path(filename).unlink(missing_ok=True)
        return f"/proc/self/fd/{os.memfd_create('metrics')}"
    return filename


values.MmapedDict = ReservedFile  # type: ignore[attr-defined]
EVENTS = Counter("codestream_events_judged", "Deliveries judged", ["verdict"])
EXECUTIONS = Counter("codestream_executions_ended", "Executions that ended", ["status"])
STEP_SECONDS = Histogram("codestream_step_seconds", "Steps of workers", ["kind", "outcome"])
TAKEOVERS = Counter("codestream_takeovers", "Rows taken over from a lost worker", ["kind"])
REQUEST_SECONDS = Histogram(
    "codestream_http_request_seconds", "Requests answered", ["method", "view", "status"]
)
_FILE_OF = re.compile(r"_(\d+)\.db\Z")


def forget_the_dead(folder: Path) -> int:
    """Remove what processes that are gone have counted; return how many files that were.

    For a start, when little or nothing runs: a counter that falls looks like a restart.
    """
    gone = [file for file in folder.glob("*.db") if not _is_alive(file)]
    for file in gone:
        file.unlink(missing_ok=True)
    return len(gone)


def shrink_the_dead(folder: Path) -> None:
    """Give back the room that processes which are gone had reserved and not used: else a process
    that dies again and again would fill the disk. What they have counted stays in the sums.

    A copy takes the place of the file: to cut it off would end a process that has it mapped.
    """
    for file in folder.glob("*.db"):
        if file.stat().st_size >= RESERVED and not _is_alive(file):
            whole = file.read_bytes()
            used = int.from_bytes(whole[:4], sys.byteorder)
            copy = file.with_suffix(f".{os.getpid()}")
            copy.write_bytes(whole[: max(used, LEAST)])
            copy.replace(file)


def _is_alive(file: Path) -> bool:
    found = _FILE_OF.search(file.name)
    if found is None:
        return True
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
