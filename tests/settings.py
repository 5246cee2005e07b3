"""The product's settings with a data folder, broker and channel layer of each test process's own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Before the product's settings are read, so that no test ever sees or touches the developer's data.
_folder = Path(tempfile.mkdtemp(prefix="mmfrm-tests-"))
_owner = os.getpid()
os.environ["MMFRM_MODE"] = "embedded"
os.environ["DATA_DIR"] = str(_folder)


def _remove() -> None:
    if os.getpid() == _owner:  # forked children end too, and must leave the folder alone
        shutil.rmtree(_folder, ignore_errors=True)


atexit.register(_remove)

from webapp.settings import *  # noqa: E402, F403  # after DATA_DIR is set
from webapp.settings import DATABASES, STATIC_ROOT, STORAGES  # noqa: E402

# A file: heartbeats come from other threads, and an in-memory SQLite locks tables instead of waiting.
DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CELERY_BROKER_URL = "memory://"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Pages are tried without collectstatic; tests/browser use the hashed files of the running product.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
