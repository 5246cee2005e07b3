"""manage.py label: a folder of photos on this machine becomes a batch, without a browser."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from time import sleep
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from webapp.accounts import services as accounts
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.jobs import selectors as jobs
from webapp.jobs.models import Job
from webapp.labeling import exports, selectors, services
from webapp.labeling.forms import COOLEST, HOTTEST, LARGEST, SMALLEST
from webapp.labeling.models import LabelBatch
from webapp.registry import starter, weights
from webapp.registry.models import Model
from webapp.uploads import services as uploads
from webapp.uploads.models import Upload

LOOK_SECONDS = 0.25  # between two looks at the job


class Command(BaseCommand):
    help = (
        "Label a folder of photos (or a zip, or one photo) that lies on this machine, as if it had been "
        "dropped on the labelling page. The folder is only read. Ctrl-C stops the waiting, not the labelling."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="a folder with all that is below it, a zip or a photo")
        parser.add_argument("--model", help="name or number of a model; needed where there are several")
        parser.add_argument("--name", default="", help="of the batch (default: the folder's)")
        parser.add_argument("--user", help="whose batch it is (default: the first administrator)")
        parser.add_argument("--find-faces", action="store_true", help="photos as they come, also of groups")
        parser.add_argument("--min-face", type=int, default=40, help="pixels a side, with --find-faces")
        parser.add_argument("--no-photos", action="store_true", help="keep only the faces, with --find-faces")
        parser.add_argument("--temperature", type=float, help="above 1: less sure (default: the model's own)")
        parser.add_argument("--flip-average", action="store_true", help="a little better, half as fast")
        parser.add_argument("--private", action="store_true", help="hide it from the lab")
        parser.add_argument("--csv", type=Path, help="write the CSV here when it is labelled")
        parser.add_argument("--no-wait", action="store_true", help="put it into the queue and return")

    def handle(self, *args: Any, **options: Any) -> None:
        source: Path = options["folder"]
        _refuse_what_cannot_be(source, options)
        user = self._user(options["user"])
        model = self._model(user, options["model"])
        batch = self._start(user, model, source, options)
        self.stdout.write(f"Batch {batch.pk}, “{batch.name}”, with {model.name}.")
        self.stdout.write(f"Page: {reverse('labeling:batch', args=[batch.pk])}")
        if options["no_wait"]:
            return
        try:
            job = self._wait(batch)
        except KeyboardInterrupt:
            raise CommandError("No longer waiting. The labelling goes on, see its page.") from None
        self._tell(batch, job)
        if options["csv"]:
            _write_csv(batch, options["csv"])
            self.stdout.write(f"CSV: {options['csv']}")

    def _user(self, name: str | None) -> User:
        if name is None:
            return accounts.first_administrator()
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active account {name!r}.")
        return user

    def _model(self, user: User, wanted: str | None) -> Model:
        models = list(weights.models(user))
        if not models and starter.offered():
            starter.adopt(user)
            models = list(weights.models(user))
        if wanted is None and all(m.shipped for m in models):  # none of their own yet: the best that ships
            models = [m for m in models if m.shipped_as == "starter"][:1] or models
        found = [m for m in models if wanted in (None, m.name, str(m.pk))]
        if len(found) == 1:
            return found[0]
        listed = "\n".join(f"  {m.pk}  {m.name}" for m in models)
        if not models:
            raise CommandError("There is no model yet: train one, and promote its best checkpoint.")
        if not found:
            raise CommandError(f"There is no model {wanted!r}. There are:\n{listed}")
        raise CommandError(f"Say which model with --model, by its number:\n{listed}")

    def _start(self, user: User, model: Model, source: Path, options: dict[str, Any]) -> LabelBatch:
        try:
            upload = self._upload(user, source)
            return services.start_batch(
                user,
                name=(options["name"] or _printable(source.resolve().name))[:200],
                model=model,
                upload=upload,
                flip_average=options["flip_average"],
                private=options["private"],
                faces="find" if options["find_faces"] else "aligned",
                min_face=options["min_face"],
                keep_photos=not options["no_photos"],
                temperature=options["temperature"],
            )
        except RefusedError as error:
            raise CommandError(str(error)) from error

    def _upload(self, user: User, source: Path) -> Upload:
        """A copy of what is to be labelled, so that the folder may change or go meanwhile."""
        with tempfile.TemporaryDirectory(dir=settings.DATA_DIR) as folder:
            packed = Path(folder) / "photos"
            count = 0
            if source.is_file():
                shutil.copyfile(source, packed)
                name = _printable(source.name)
            else:
                name = f"{_printable(source.resolve().name)}.zip"
                # not strict: a camera without a battery dates its photos before any zip could
                with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
                    for path, inside in _named(source):
                        archive.write(path, inside)
                        count += 1
                if not count:
                    raise CommandError(f"{source} holds no files.")
                self.stdout.write(f"{count:,} files, {packed.stat().st_size / 2**20:,.1f} MB.")
            return uploads.take_in(user, packed, filename=name[:255])

    def _wait(self, batch: LabelBatch) -> Job:
        """Say how far it is until it is over: on one line at a terminal, else when there is something new."""
        at_terminal = self.stdout.isatty()
        told = ""
        while True:
            job = Job.objects.get(pk=batch.job_id)
            said = _progress(job)
            if said != told and (at_terminal or _is_news(told, said)):
                self.stdout.write(
                    f"\r{said:<78}" if at_terminal else said, ending="" if at_terminal else "\n"
                )
                self.stdout.flush()
                told = said
            if job.is_over or job.state == Job.State.PAUSED:
                if at_terminal:
                    self.stdout.write("")
                return job
            sleep(LOOK_SECONDS)

    def _tell(self, batch: LabelBatch, job: Job) -> None:
        if job.state != Job.State.FINISHED:
            raise CommandError(f"{job.get_state_display()}. {job.reason}".strip())
        for notice in selectors.notices(batch):
            self.stdout.write(notice["text"])
        counts, errors = selectors.counts(batch)
        total = sum(c.count for c in counts)
        for c in sorted(counts, key=lambda c: -c.count):
            self.stdout.write(f"  {c.count:8,}  {c.name}")
        if errors:
            self.stdout.write(f"  {errors:8,}  no face, or unreadable")
        rate = job.result.get("images_per_second")
        self.stdout.write(f"{total:,} faces labelled" + (f", {rate:,.1f} images a second." if rate else "."))


def _refuse_what_cannot_be(source: Path, options: dict[str, Any]) -> None:
    """Before anything is labelled: it may take hours. The bounds are those of the form."""
    table, temperature = options["csv"], options["temperature"]
    if table and options["no_wait"]:
        raise CommandError("--csv needs the labels, so it does not go with --no-wait.")
    if not source.exists():
        raise CommandError(f"{source} is not there.")
    if table and (table.is_dir() or not os.access(table.absolute().parent, os.W_OK)):
        raise CommandError(f"{table} cannot be written: is it in a folder that is there?")
    if not SMALLEST <= options["min_face"] <= LARGEST:
        raise CommandError(f"--min-face must lie between {SMALLEST} and {LARGEST:,} pixels.")
    if temperature is not None and not COOLEST <= temperature <= HOTTEST:
        raise CommandError(f"--temperature must lie between {COOLEST:g} and {HOTTEST:g}.")


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, by path; not what systems hide there."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _named(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a folder, and a name of its own that can be written in UTF-8."""
    taken: set[str] = set()
    for path in _files(folder):
        plain = PurePosixPath(_printable(path.relative_to(folder).as_posix()))
        name, number = plain, 1
        while str(name) in taken:
            number += 1
            name = plain.with_stem(f"{plain.stem} ({number})")
        taken.add(str(name))
        yield path, str(name)


def _printable(name: str) -> str:
    """A file name as it can be shown: those of older systems are no UTF-8, so Python cannot write them."""
    return os.fsencode(name).decode("utf-8", "replace")


def _progress(job: Job) -> str:
    if job.state == Job.State.QUEUED:
        return jobs.why_waiting(job) or "It waits in the queue."
    if not job.total:
        return f"{job.get_state_display()}…"
    left = "" if job.seconds_left is None else f", {job.seconds_left:,.0f} s left"
    return f"{job.done:,} of {job.total:,} files, {job.rate:,.0f} a second{left}"


def _is_news(told: str, said: str) -> bool:
    """In a log a line a second would be too many: another sentence, or a tenth further."""
    before, now = _tenths(told), _tenths(said)
    return before is None or now is None or now > before


def _tenths(said: str) -> int | None:
    words = said.replace(",", "").split()
    if len(words) < 3 or words[1] != "of":
        return None
    return 10 * int(words[0]) // max(1, int(words[2]))


def _write_csv(batch: LabelBatch, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.writelines(exports.csv_lines(batch))
    part.replace(path)
