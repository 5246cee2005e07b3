"""Folders whose rows are gone: a kill came between a deletion and its pixels, or a copy and its row."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from webapp.datasets.models import Dataset
from webapp.datasets.services import remove_folders
from webapp.jobs.models import Job
from webapp.registry.models import Model

ORPHAN_SECONDS = 3600.0  # a folder without a row may be about to get one


def sweep() -> int:
    """Delete what is left of data sets, jobs and models that are gone, hourly. Answers how many folders."""
    owners = {"datasets": Dataset.objects, "jobs": Job.objects, "models": Model.objects}
    return sum(
        _sweep(Path(settings.DATA_DIR) / name, rows.values_list("pk", flat=True).iterator())
        for name, rows in owners.items()
    )


def _sweep(root: Path, keys: Iterable[int]) -> int:
    # Folders first: one that comes after them has a row that is looked up, or none yet and is not among them.
    found = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    known = {str(key) for key in keys}
    # The time of the last change of its entry: a copy brings the older time of its contents along.
    oldest = time.time() - ORPHAN_SECONDS
    orphans = [path for path in found if path.name not in known and path.stat().st_ctime < oldest]
    remove_folders(orphans)
    return len(orphans)
