"""The text that a new pipeline begins with: deploy each pushed image."""

from __future__ import annotations

from pathlib import Path
from typing import Final

STARTER: Final = Path(__file__).with_name("starter.yaml").read_text(encoding="utf-8")
