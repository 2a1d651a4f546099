"""What processes count for Prometheus; how it is served is for ``codestream.operations``."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

EVENTS = Counter("codestream_events_judged", "Deliveries judged", ["verdict"])
EXECUTIONS = Counter("codestream_executions_ended", "Executions that ended", ["status"])
STEP_SECONDS = Histogram("codestream_step_seconds", "Steps of workers", ["kind", "outcome"])
TAKEOVERS = Counter("codestream_takeovers", "Rows taken over from a lost worker", ["kind"])
