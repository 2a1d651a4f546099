"""The product's settings with a throw-away data folder and a fast password hash."""

import os
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="codestream-tests-")
for name in list(os.environ):
    if name in {"DATABASE_URL", "OUTGOING_ALLOW", "PUBLIC_URL", "DOCKER_HUB_URL", "SECRET_KEY"}:
        del os.environ[name]
os.environ["DATA_DIR"] = _folder.name

from codestream.settings import *  # noqa: E402, F403

PUBLIC_URL = "https://cd.example.com"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
