"""What pages read of data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, Prefetch, QuerySet, Sum
from django.http import Http404

from webapp.accounts.models import User
from webapp.accounts.permissions import get_visible, visible
from webapp.datasets.models import Dataset, DatasetVersion, Refusal, Sample

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": "Train", "val": "Validation", "test": "Test", "": "No split"}
FACES_A_PAGE = 120
REFUSALS_A_PAGE = 50
FACES_A_CARD = 8
FACES_OF_OVERVIEW = 24


def datasets(user: User) -> QuerySet[Dataset]:
    """What somebody may see, the newest first, with the latest version and its job."""
    versions = DatasetVersion.objects.select_related("import_job__job").order_by("-number")
    rows = visible(Dataset.objects.all(), user).select_related("owner")
    return rows.prefetch_related(Prefetch("versions", versions)).order_by("-created_at", "-pk")


def version_of(user: User, pk: int, number: int | None = None) -> DatasetVersion:
    """A version that somebody may see, the latest without a number. Raises Http404."""
    dataset = get_visible(Dataset.objects.select_related("owner"), user, pk=pk)
    rows = DatasetVersion.objects.filter(dataset=dataset).select_related("made_by", "import_job__job")
    version = (rows if number is None else rows.filter(number=number)).order_by("-number").first()
    if version is None:
        raise Http404
    version.dataset = dataset  # with its owner
    return version


# --- counts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassRow:
    """One class of the table of counts."""

    name: str  # "" stands for images without a label
    counts: tuple[int, ...]  # in the order of the table's splits
    total: int
    share: float  # of all images


@dataclass(frozen=True)
class ClassTable:
    """Images by class and split."""

    splits: tuple[str, ...]
    rows: tuple[ClassRow, ...]
    totals: tuple[int, ...]
    total: int

    @property
    def columns(self) -> list[tuple[str, str, int]]:
        """Split, its name for people, and its total."""
        return [(s, SPLIT_NAMES[s], n) for s, n in zip(self.splits, self.totals, strict=True)]


def class_table(version: DatasetVersion) -> ClassTable:
    """Counted when the version was made; nothing is counted now."""
    counts: Mapping[str, Mapping[str, int]] = version.counts
    splits = tuple(s for s in (*SPLITS, "") if s in counts)
    names = [*version.classes, *([""] if any("" in c for c in counts.values()) else [])]
    rows = []
    for name in names:
        found = tuple(counts[s].get(name, 0) for s in splits)
        rows.append(ClassRow(name, found, sum(found), sum(found) / max(1, version.images)))
    totals = tuple(sum(counts[s].values()) for s in splits)
    return ClassTable(splits, tuple(rows), totals, sum(totals))


def chart(table: ClassTable) -> dict[str, Any]:
    """The class distribution as datasets.js draws it."""
    bars = [
        {"split": split, "name": SPLIT_NAMES[split], "counts": [row.counts[i] for row in table.rows]}
        for i, split in enumerate(table.splits)
    ]
    return {"classes": [row.name or "unlabelled" for row in table.rows], "bars": bars}


def observations(version: DatasetVersion, table: ClassTable) -> list[str]:
    """What a researcher should know before training on it, in words."""
    said: list[str] = []
    labelled = [row for row in table.rows if row.name]
    if not version.classes:
        return ["No image has a label: it can be labelled and looked at, not trained on."]
    said += _missing_splits(table)
    empty = [row.name for row in labelled if not row.total]
    if empty:
        said.append(f"No image of {_listed(empty)}.")
    present = [row for row in labelled if row.total]
    if present:
        most, least = max(present, key=lambda r: r.total), min(present, key=lambda r: r.total)
        if most.total >= 10 * least.total:
            said.append(
                f"{most.name.capitalize()} is {most.total / least.total:.0f} times as frequent as "
                f"{least.name}: accuracy alone will flatter; look at the mean over classes too."
            )
    return said


def _missing_splits(table: ClassTable) -> list[str]:
    said = []
    if "val" not in table.splits:
        said.append("There is no validation split: each run carves one from train, by its seed.")
    if "test" not in table.splits:
        said.append("There is no test split: runs carve one, and nothing compares with published figures.")
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- faces ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FaceFilter:
    """Which faces of a version are shown; comes from and goes to the address."""

    split: str = ""
    label: str = ""  # a class's name, or "none"
    flag: str = ""
    text: str = ""  # in the file's name

    @classmethod
    def of(cls, query: Mapping[str, str]) -> FaceFilter:
        """From an address. What means nothing is left out."""
        split = query.get("split", "")
        text = query.get("text", "").strip()[:200].replace("\0", "")
        known = (*SPLITS, "none")
        return cls(split if split in known else "", query.get("label", ""), query.get("flag", ""), text)

    @property
    def is_on(self) -> bool:
        return self != FaceFilter()

    def apply(self, version: DatasetVersion) -> QuerySet[Sample]:
        """In order. The index samples_as_browsed answers it without a look at the rows."""
        rows = Sample.objects.filter(version=version).order_by("index")
        if self.split:
            rows = rows.filter(split="" if self.split == "none" else self.split)
        if self.label == "none":
            rows = rows.filter(label=None)
        elif self.label in version.classes:
            rows = rows.filter(label=version.classes.index(self.label))
        if self.flag:
            rows = rows.filter(flagged__contains=f" {self.flag} ")
        if self.text:
            rows = rows.filter(name__icontains=self.text)
        return rows


def faces(version: DatasetVersion, filters: FaceFilter, number: str | None) -> tuple[Page[int], list[Sample]]:
    """One page of the grid: three queries, whatever the filter and however many faces there are."""
    page = Paginator(filters.apply(version).values_list("pk", flat=True), FACES_A_PAGE).get_page(number)
    rows = Sample.objects.filter(pk__in=list(page.object_list)).order_by("index")
    return page, list(rows.only("index", "name", "split", "label", "flags", "version"))


def face(version: DatasetVersion, index: int) -> Sample:
    """One face. Raises Http404."""
    row = Sample.objects.filter(version=version, index=index).first()
    if row is None:
        raise Http404
    row.version = version
    return row


def label_of(version: DatasetVersion, sample: Sample) -> str:
    """The name of a face's class, "" where it has none."""
    return version.classes[sample.label] if sample.label is not None else ""


def neighbours(sample: Sample, filters: FaceFilter) -> tuple[int | None, int | None]:
    """Index of the face before and after, among those that the filter shows."""
    rows = filters.apply(sample.version).values_list("index", flat=True)
    before = rows.filter(index__lt=sample.index).order_by("-index").first()
    return before, rows.filter(index__gt=sample.index).first()


def evenly(version: DatasetVersion, count: int = FACES_OF_OVERVIEW) -> list[Sample]:
    """Faces from all over a version, to give an impression."""
    step = max(1, version.images // count)
    wanted = [i * step for i in range(min(count, version.images))]
    rows = Sample.objects.filter(version=version, index__in=wanted).order_by("index")
    return list(rows.only("index", "name", "label", "version"))


def card_faces(version: DatasetVersion) -> list[int]:
    """Indices of a few faces for a card. Nothing is asked for: indices count from 0 without gaps."""
    count = min(FACES_A_CARD, version.images)
    return [i * (version.images // count) for i in range(count)]


def page_of(sample: Sample, filters: FaceFilter) -> int:
    """The page of the grid that shows a face."""
    return filters.apply(sample.version).filter(index__lt=sample.index).count() // FACES_A_PAGE + 1


def flags(version: DatasetVersion) -> list[tuple[str, str, int]]:
    """Flag, its words, and how many faces have it; counted when the version was made."""
    found: Mapping[str, int] = version.report.get("flags", {})
    return [(name, name.replace("_", " "), count) for name, count in sorted(found.items())]


def votes_of(sample: Sample) -> list[dict[str, Any]]:
    """How people voted on a face, in the order of the columns."""
    columns = sample.version.vote_columns or []
    return [{"name": n, "votes": v} for n, v in zip(columns, sample.votes or [], strict=False)]


# --- what the reader found odd ------------------------------------------------------------------------

NOT_FOUND_ODD = ("flags", "layout_reason")  # of the report; shown elsewhere


@dataclass(frozen=True)
class Finding:
    """One thing the reader counted or noted."""

    what: str
    count: int | None
    examples: tuple[str, ...] = ()


def findings(version: DatasetVersion) -> list[Finding]:
    """The report of the reader, without what it did not find."""
    found = []
    for key, value in version.report.items():
        what = key.replace("_", " ").capitalize()
        match value:
            case bool():
                found += [Finding(what, None)] if value else []
            case int():
                found += [Finding(what, value)] if value else []
            case {"count": int(count), "examples": list(examples)} if count:
                found.append(Finding(what, count, tuple(map(str, examples))))
            case _:
                pass
    return [f for f in found if f.what.lower().replace(" ", "_") not in NOT_FOUND_ODD]


def refusals(version: DatasetVersion, verdict: str, number: str | None) -> Page[Refusal]:
    """Files that did not arrive as they were, a page of them."""
    rows = Refusal.objects.filter(version=version).order_by("index")
    if verdict in Refusal.Verdict.values:
        rows = rows.filter(verdict=verdict)
    return Paginator(rows, REFUSALS_A_PAGE).get_page(number)


def verdicts(version: DatasetVersion) -> list[tuple[str, str, int]]:
    """Verdict, its name for people, and how many files have it."""
    found = version.refusals.order_by().values_list("verdict").annotate(n=Count("pk"))
    counts = dict(found)
    return [(v, str(v.label), counts[v]) for v in Refusal.Verdict if v in counts]


# --- deletion -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GoesAlong:
    """What deleting a data set deletes."""

    versions: int
    images: int
    bytes: int


def goes_along(dataset: Dataset) -> GoesAlong:
    """Counted on the disk too."""
    counts = dataset.versions.aggregate(versions=Count("pk"), images=Sum("images"))
    size = sum(p.stat().st_size for p in dataset.folder.rglob("*") if p.is_file())
    return GoesAlong(counts["versions"], counts["images"] or 0, size)
