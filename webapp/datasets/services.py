"""Everything that changes data sets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from django.db import transaction

from webapp.accounts.models import User
from webapp.datasets.models import Dataset, DatasetImport, DatasetVersion
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.rows import delete_at_once
from webapp.uploads import services as uploads
from webapp.uploads.models import Upload

DRAWN_FACES = 3000  # enough to learn from, drawn in seconds
READS = ("preview", "import")  # kinds of job that read a source
CHOICES = ("mapping", "group_by", "splits")  # made after a look, of what was recognised
TITLES = {"draw": "Draw", "preview": "Look into", "import": "Import"}


@transaction.atomic
def import_uploads(
    user: User,
    *,
    upload_ids: Sequence[UUID],
    name: str,
    private: bool = False,
    look_first: bool = False,
    **reading: object,
) -> list[Dataset]:
    """A new data set from each upload; the imports are queued. Raises RefusedError where one cannot be had.

    Without a name each is called like its file. reading: layout, faces, min_face and several, as
    `mmfrm.jobs.SourceJob` has them; look_first: only a preview is made, and the import waits for `retry`.
    """
    made = []
    for upload in [uploads.claim(user, pk) for pk in upload_ids]:
        dataset = Dataset.objects.create(owner=user, private=private, name=name or name_of(upload))
        kind = "preview" if look_first else "import"
        first_version(dataset, kind=kind, note="Imported", upload=upload, options=reading)
        made.append(dataset)
    return made


@transaction.atomic
def draw(user: User, *, count: int = DRAWN_FACES, seed: int = 0, then_quick_look: bool = False) -> Dataset:
    """A new data set of drawn faces, and then, if wanted, a first training on it."""
    dataset = Dataset.objects.create(
        owner=user,
        name="Drawn faces",
        description="Parametric faces, drawn by this program from a seed. No photographs.",
        is_drawn=True,
    )
    options = {"count": count, "seed": seed, "then_quick_look": then_quick_look}
    first_version(dataset, kind="draw", note="Drawn", upload=None, options=options)
    return dataset


@transaction.atomic
def retry(
    dataset: Dataset, by: User, *, look_first: bool = False, looked: int | None = None, **reading: object
) -> bool:
    """Import what was only looked at, or failed, or was stopped; or look (again). True if queued.

    reading: as in `import_uploads`, and what was chosen after a look: mapping, group_by, splits; without
    them, those of before hold while the layout is the same. looked: the job of that look, which must still
    be the last one. The upload is still here: it goes when its faces are in.
    """
    unread = DatasetImport.objects.filter(
        version__dataset=dataset, version__ready_at=None, version__parent=None
    )
    row = unread.select_for_update(of=("self",)).select_related("job").first()
    if row is None or row.job.kind not in READS:
        return False
    job = Job.objects.select_for_update().get(pk=row.job_id)
    if looked is not None and looked != job.pk:
        return False
    if job.state not in (*Job.RESTING, *([Job.State.FINISHED] if job.kind == "preview" else [])):
        return False
    if reading.get("layout") != row.options.get("layout"):
        row.options = {what: value for what, value in row.options.items() if what not in CHOICES}
    row.options |= reading
    row.save(update_fields=["options"])
    kind = "preview" if look_first else "import"
    if kind == job.kind and job.state in Job.RESTING:
        return jobs.resume(job, by)
    row.job = jobs.create(kind=kind, queue=Job.Queue.CPU, owner=dataset.owner, title=_title(dataset, kind))
    row.save(update_fields=["job"])
    folder = jobs.folder_of(job)
    job.delete()
    transaction.on_commit(lambda: remove_folders([folder]))
    return True


def name_of(upload: Upload) -> str:
    """What a data set is called that was not given a name."""
    stem = re.sub(r"(\.tar)?\.[A-Za-z0-9]{1,4}$", "", upload.filename)
    return stem.replace("_", " ").strip()[:200] or "Data set"


@transaction.atomic
def edit(dataset: Dataset, *, name: str, description: str, private: bool) -> None:
    """Rename, describe, or hide from the lab."""
    dataset.name, dataset.description, dataset.private = name, description, private
    dataset.save(update_fields=["name", "description", "private"])
    made = Job.objects.filter(dataset_import__version__dataset=dataset)
    for kind in ("draw", *READS):
        made.filter(kind=kind).update(title=_title(dataset, kind))


@transaction.atomic
def delete(dataset: Dataset) -> None:
    """Delete a data set, its versions and every pixel. Raises RefusedError while something uses it."""
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    if reason := why_not_deleted(dataset):
        raise RefusedError(reason)
    imports = list(DatasetImport.objects.filter(version__dataset=dataset).select_related("job", "upload"))
    folders = [dataset.folder, *(jobs.folder_of(row.job) for row in imports)]
    for row in imports:
        if row.upload is not None:
            uploads.discard(row.upload)
    Job.objects.filter(pk__in=[row.job_id for row in imports]).delete()
    for version in dataset.versions.all():
        delete_faces(version)
    dataset.delete()
    transaction.on_commit(lambda: remove_folders(folders))


def delete_faces(version: DatasetVersion) -> None:
    """Delete a version's faces, and what models said of them, in two statements."""
    from webapp.registry.models import Score  # the registry knows data sets, not the other way round

    delete_at_once(Score.objects.filter(sample__version=version))
    delete_at_once(version.samples.all())


def why_not_deleted(dataset: Dataset) -> str:
    """What still uses a data set, in words; empty where nothing does."""
    used = dataset.versions.filter(runs__isnull=False)
    if count := used.count():
        names = used.filter(runs__private=False).values_list("runs__name", flat=True)[:3]
        named = f" ({', '.join(names)}{', …' if count > len(names) else ''})" if names else ""
        return f"{count} run{'s use' if count > 1 else ' uses'} it{named}. Delete what uses it first."
    active = Job.objects.filter(state__in=Job.ACTIVE)
    if active.filter(dataset_import__version__dataset=dataset).exists():
        return "It is being imported now. Stop the import first."
    if reader := active.filter(scoring__version__dataset=dataset).values_list("title", flat=True).first():
        return f"“{reader}” is reading it now. Stop that first."
    return ""


def first_version(
    dataset: Dataset, *, kind: str, note: str, upload: Upload | None, options: Mapping[str, object]
) -> None:
    """The version that a job fills, and that job, queued. Within the transaction that makes the data set."""
    version = DatasetVersion.objects.create(dataset=dataset, number=1, made_by=dataset.owner, note=note)
    job = jobs.create(kind=kind, queue=Job.Queue.CPU, owner=dataset.owner, title=_title(dataset, kind))
    DatasetImport.objects.create(job=job, version=version, upload=upload, options=options)


def _title(dataset: Dataset, kind: str) -> str:
    return f"{TITLES[kind]} {dataset.name}"[:200]


def remove_folders(folders: Sequence[Path]) -> None:
    """Delete folders; one that is gone already is no error."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
