"""The house keeps its layers: see ``[tool.importlinter]`` in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_import_contract_holds() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout


def test_the_product_imports_without_its_stand_ins(tmp_path: Path) -> None:
    block = "import sys; sys.modules['codestream.sandbox'] = None; "
    load = "import django; django.setup(); import codestream.urls, codestream.wsgi"

    result = subprocess.run(
        [sys.executable, "-c", block + load],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "codestream.settings", "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
