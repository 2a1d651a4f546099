"""The product's settings with a throw-away data folder and a fast password hash.

``TEST_DATABASE_URL=postgres://...`` runs the same tests on a PostgreSQL server.
"""

import os
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="codestream-tests-")
_HERE = {"DATABASE_URL", "OUTGOING_ALLOW", "PUBLIC_URL", "SECRET_KEY"}
for name in list(os.environ):
    if name in _HERE | {"DOCKER_HUB_URL", "DOCKER_HUB_STAND_INS"}:
        del os.environ[name]
os.environ["DATA_DIR"] = _folder.name
if _url := os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = _url

from codestream.settings import *  # noqa: E402, F403

PUBLIC_URL = "https://cd.example.com"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# pytest-django knows Django's own backend by its name, and would give ours files on the disk.
if not _url:
    DATABASES["default"].setdefault("TEST", {})["NAME"] = ":memory:"  # noqa: F405
