"""New versions out of old ones: edits that wait and can be undone, remedies, and the job that does them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Max

from mmfrm.jobs import Job as JobFile
from mmfrm.jobs import ReviseJob
from webapp.accounts.models import User
from webapp.datasets import report, services
from webapp.datasets.models import MOST_FLAG_LETTERS, Dataset, DatasetImport, DatasetVersion, Edit
from webapp.datasets.report import CARVED_SHARE
from webapp.errors import RefusedError
from webapp.jobs import services as jobs
from webapp.jobs.models import Job

MOST_AT_ONCE = 50_000  # faces that one act may change; keeps the row small
REMEDIES = {
    "leaks": ("leave_out_leaks", True, "Left out leaking training images"),
    "near_constant": ("leave_out_near_constant", True, "Left out near-constant images"),
    "carve": ("carve", CARVED_SHARE, f"Carved the missing splits, {CARVED_SHARE:.0%} each"),
}


@dataclass
class Pending:
    """What the edits of a person come to, the later ones taking the place of the earlier."""

    edits: list[Edit] = field(default_factory=list)
    excluded: set[int] = field(default_factory=set)
    relabelled: dict[int, str] = field(default_factory=dict)
    tagged: dict[int, list[str]] = field(default_factory=dict)

    @property
    def faces(self) -> int:
        """How many faces would differ."""
        return len(self.excluded | self.relabelled.keys() | self.tagged.keys())

    def words(self) -> str:
        """What would change, for a version's note."""
        counts = (("left out", self.excluded), ("relabelled", self.relabelled), ("tagged", self.tagged))
        said = ", ".join(f"{len(found):,} {what}" for what, found in counts if found)
        return said[:1].upper() + said[1:]


def pending(version: DatasetVersion, user: User) -> Pending:
    """The edits that wait: one query."""
    found = Pending()
    for edit in Edit.objects.filter(version=version, made_by=user):
        found.edits.append(edit)
        if edit.action == Edit.Action.EXCLUDE:
            found.excluded.update(edit.indices)
        elif edit.action == Edit.Action.RELABEL:
            found.relabelled |= dict.fromkeys(edit.indices, edit.value)
        else:
            for index in edit.indices:
                found.tagged.setdefault(index, []).append(edit.value)
    return found


def add_edit(version: DatasetVersion, user: User, *, action: str, value: str, indices: Sequence[int]) -> Edit:
    """Note one act on many faces. Raises RefusedError where it cannot be done."""
    if version.ready_at is None:
        raise RefusedError("This version is still being made.")
    wanted = sorted({index for index in indices if 0 <= index < version.images})
    if not wanted:
        raise RefusedError("Select faces first.")
    if len(wanted) > MOST_AT_ONCE:
        raise RefusedError(f"At most {MOST_AT_ONCE:,} faces at once; filter further.")
    if action == Edit.Action.RELABEL and value and value not in version.classes:
        raise RefusedError(f"{value} is not a class of this data set.")
    if action == Edit.Action.TAG:
        _refuse_too_many_tags(version, user, value, wanted)
    return Edit.objects.create(version=version, made_by=user, action=action, value=value, indices=wanted)


def _refuse_too_many_tags(version: DatasetVersion, user: User, tag: str, wanted: Sequence[int]) -> None:
    """Here and not when the version is made, which would fail for all its faces."""
    waiting = pending(version, user).tagged
    flagged = dict(version.samples.exclude(flagged="").values_list("index", "flagged"))
    for index in wanted:
        tags = {*flagged.get(index, "").split(), *waiting.get(index, ()), tag}
        if len(" ".join(tags)) + 2 > MOST_FLAG_LETTERS:
            text = f"The tags of a face may have {MOST_FLAG_LETTERS} letters in all, and one would have more."
            raise RefusedError(text)


def undo(version: DatasetVersion, user: User) -> Edit | None:
    """Take back the last act; None where nothing waits."""
    edit = Edit.objects.filter(version=version, made_by=user).last()
    if edit is not None:
        edit.delete()
    return edit


@transaction.atomic
def make_version(version: DatasetVersion, user: User, *, why: str) -> DatasetVersion:
    """Queue a new version with the edits that wait, which are then done. Raises RefusedError without any."""
    changes = pending(version, user)
    if not changes.edits:
        raise RefusedError("Nothing was changed yet: select faces first.")
    options: dict[str, Any] = {
        "exclude": sorted(changes.excluded),
        "relabel": {str(i): name for i, name in changes.relabelled.items() if i not in changes.excluded},
        "tags": {str(i): " ".join(t) for i, t in changes.tagged.items() if i not in changes.excluded},
    }
    made = _queue(version, user, note=changes.words(), why=why, options=options)
    Edit.objects.filter(pk__in=[edit.pk for edit in changes.edits]).delete()
    return made


@transaction.atomic
def remedy(version: DatasetVersion, user: User, name: str) -> DatasetVersion:
    """Queue a new version with a fault mended. Raises RefusedError where that fault is not there."""
    if name not in {found.name for found in remedies(version)}:
        raise RefusedError("There is nothing of the kind to mend in this version.")
    setting, value, note = REMEDIES[name]
    if name == "carve" and report.largest_group(version) > CARVED_SHARE:
        note = "Carved the missing splits, as large as the groups make them"
    return _queue(version, user, note=note, why="", options={setting: value})


@dataclass(frozen=True)
class Remedy:
    """A fault of a version that one click mends."""

    name: str
    label: str
    explanation: str


def remedies(version: DatasetVersion) -> list[Remedy]:
    """What can be mended, by what the reader counted."""
    found = []
    counted = version.report.get("duplicates", {})
    near = 0 if version.dataset.is_drawn else counted.get("leaking_near", 0)
    if leaks := counted.get("leaking_exact", 0) + near:
        text = f"{leaks:,} training image{'s' * (leaks != 1)} with a duplicate in validation or test."
        found.append(Remedy("leaks", "Leave out leaking images", text))
    if constant := version.report.get("near_constant_count", 0):
        text = f"{constant:,} image{'s' * (constant != 1)} showing next to nothing."
        found.append(Remedy("near_constant", "Drop near-constant images", text))
    splits = set(version.counts)
    if version.classes and "val" not in splits and splits & {"train", ""}:
        alone = splits == {""}
        label = "Carve validation and test splits" if alone else "Carve a validation split"
        text = f"{CARVED_SHARE:.0%} of every class; no person and no group of duplicates is parted."
        if (share := report.largest_group(version)) > CARVED_SHARE:
            text = f"No person is parted, and one has {share:.0%} of the images: splits come out that large."
        found.append(Remedy("carve", label, text))
    return found


def has_others(version: DatasetVersion) -> bool:
    """Whether a version can go without its data set: one made of labelled faces has no parent, but others."""
    return version.dataset.versions.exclude(pk=version.pk).exists()


@transaction.atomic
def discard(version: DatasetVersion) -> int:
    """Take away a version that never got ready; answers how many changes wait again for who made it.

    Raises RefusedError where it got ready, is being made now, or is all that its data set has.
    """
    Dataset.objects.select_for_update().get(pk=version.dataset_id)  # no two can leave a data set empty
    row = DatasetImport.objects.select_related("job").filter(version=version).first()
    if row is None:  # a second click waited for the first
        return 0
    if version.ready_at is not None:
        raise RefusedError("Only a version that was not finished can be discarded.")
    if not has_others(version):
        raise RefusedError("It is the only version. Delete the data set instead.")
    if Job.objects.filter(pk=row.job_id, state__in=Job.ACTIVE).exists():
        raise RefusedError("It is being made now. Stop it first.")
    again = _wait_again(version, row.options)
    folders = [version.folder, jobs.folder_of(row.job)]
    Job.objects.filter(pk=row.job_id).delete()
    version.delete()
    transaction.on_commit(lambda: services.remove_folders(folders))
    return again


def _wait_again(version: DatasetVersion, options: dict[str, Any]) -> int:
    """Make edits of what a version was to change: its job held the only copy of maybe hours of work.

    What the person decided of a face since then stands.
    """
    parent, user = version.parent, version.made_by
    if parent is None:
        return 0
    since = pending(parent, user)
    acts: dict[tuple[str, str], list[int]] = {}
    for index in options.get("exclude", ()):
        acts.setdefault((Edit.Action.EXCLUDE, ""), []).append(index)
    for index, name in options.get("relabel", {}).items():
        if int(index) not in since.relabelled:
            acts.setdefault((Edit.Action.RELABEL, name), []).append(int(index))
    for index, tags in options.get("tags", {}).items():
        for tag in tags.split():
            acts.setdefault((Edit.Action.TAG, tag), []).append(int(index))
    Edit.objects.bulk_create(
        Edit(version=parent, made_by=user, action=action, value=value, indices=indices)
        for (action, value), indices in acts.items()
    )
    return len(acts)


def prepare(job: Job) -> JobFile:
    """Make the new version beside the old one. Raises RefusedError where that one is gone."""
    row = DatasetImport.objects.select_related("version__dataset", "version__parent__dataset").get(job=job)
    parent = row.version.parent
    if parent is None:
        raise RefusedError("The version that it is made of is gone.")
    return ReviseJob(source=str(parent.folder), out=str(row.version.folder), **row.options)


def _queue(
    parent: DatasetVersion, user: User, *, note: str, why: str, options: dict[str, Any]
) -> DatasetVersion:
    if parent.ready_at is None:
        raise RefusedError("This version is still being made.")
    dataset = Dataset.objects.select_for_update().get(pk=parent.dataset_id)
    last = dataset.versions.aggregate(last=Max("number"))["last"]
    version = DatasetVersion.objects.create(
        dataset=dataset, number=last + 1, parent=parent, made_by=user, note=note[:300], why=why[:500]
    )
    title = f"Version {version.number} of {dataset.name}"
    job = jobs.create(kind="revise", queue=Job.Queue.CPU, owner=dataset.owner, title=title)
    DatasetImport.objects.create(job=job, version=version, options=options)
    return version
