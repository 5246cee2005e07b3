"""Archives and folders that lie on the server already: which may be imported, and by whom asked for."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from webapp.accounts.models import User
from webapp.datasets import services
from webapp.datasets.models import Dataset
from webapp.errors import RefusedError


def roots() -> list[Path]:
    """The folders below which an import may read; none unless IMPORT_ROOTS names some."""
    return [root.resolve() for root in settings.IMPORT_ROOTS]


def allowed(text: str) -> Path:
    """The place that a path leads to, links followed. Raises RefusedError where it lies outside the roots.

    What is not there and what is not allowed are told alike: nobody learns what else the server holds.
    """
    asked = text.strip()
    known = roots()
    names = ", ".join(map(str, known)) or "no folder: IMPORT_ROOTS is not set"
    refusal = RefusedError(f"There is nothing of that name to import. Imports may read {names}.")
    if not asked or "\0" in asked or not Path(asked).is_absolute():
        raise refusal
    try:
        path = Path(asked).resolve(strict=True)
    except (OSError, RuntimeError):
        raise refusal from None
    ours = Path(settings.DATA_DIR).resolve()
    if not any(path.is_relative_to(root) for root in known) or path.is_relative_to(ours):
        raise refusal
    if not (path.is_dir() or path.is_file()) or ours.is_relative_to(path):
        raise refusal
    return path


@transaction.atomic
def import_path(
    user: User, *, path: str, name: str, private: bool, look_first: bool = False, **reading: object
) -> Dataset:
    """A new data set from what lies at a path, which is read and left as it is. Raises RefusedError.

    reading, look_first: as in `services.import_uploads`.
    """
    place = allowed(path)
    called = name or place.stem.replace("_", " ").strip()[:200] or "Data set"
    dataset = Dataset.objects.create(owner=user, private=private, name=called)
    kind = "preview" if look_first else "import"
    options = {**reading, "path": str(place)}
    services.first_version(dataset, kind=kind, note="Imported", upload=None, options=options)
    return dataset
