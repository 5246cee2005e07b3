"""One of everything, owned by one person: what the table of access is tried on."""

from __future__ import annotations

import io
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

from django.utils import timezone
from PIL import Image

from tests.synthetic_runs import CLASSES, keep_a_model, queued_run, ready_version
from webapp.accounts import services as accounts
from webapp.accounts.models import User
from webapp.datasets.models import Dataset, DatasetImport, DatasetVersion, Refusal, Sample
from webapp.experiments.models import Experiment, Run
from webapp.jobs import services as jobs
from webapp.jobs.models import Job
from webapp.labeling.models import LabelBatch, Prediction
from webapp.news.services import create_webhook
from webapp.registry.models import Model, ModelExport
from webapp.searches import services as searches
from webapp.searches import space
from webapp.searches.models import Search, Trial
from webapp.uploads.models import Upload


@dataclass
class World:
    """Arguments of addresses: keys of rows, and the few strings among them."""

    dataset: int
    number: int
    version: int
    index: int
    experiment: int
    run: int
    job: int
    search: int
    what: str
    model: int
    batch: int
    import_job: int
    upload: str
    person: int
    invitation: int
    invitation_token: str
    webhook: int
    layout: str = "folders"
    chart: str = "steps"
    no_token: str = "x" * 43


def people(owner: User) -> dict[str, User | None]:
    """Who tries, by the names of access_table.PEOPLE."""
    return {
        "anonymous": None,
        "viewer": User.objects.create_user("vic", password="a long pass phrase", role="viewer"),
        "other editor": User.objects.create_user("otto", password="a long pass phrase", role="editor"),
        "owner": owner,
        "administrator": User.objects.create_user("ada", password="a long pass phrase", role="administrator"),
    }


def make_world(owner: User, administrator: User, *, private: bool) -> World:
    """Rows and the few files that pages read."""
    version = _dataset(owner)
    run = queued_run(owner, version, name="seed 0")
    keep_a_model(run)
    model = Model.objects.create(owner=owner, name="Kept", classes=list(CLASSES))
    model.folder.mkdir(parents=True, exist_ok=True)
    (model.folder / "model.json").write_text("{}")
    export = ModelExport.objects.create(model=model, job=_done("export", owner))
    export.folder.mkdir(parents=True, exist_ok=True)
    (export.folder / "report.json").write_text("{}")
    batch = _batch(owner, model)
    for kind in (Dataset, Experiment, Run, Model, LabelBatch):
        kind.objects.update(private=private)
    invitation, path = accounts.invite(administrator, User.Role.VIEWER)
    return World(
        dataset=version.dataset_id,
        number=version.number,
        version=version.pk,
        index=0,
        experiment=run.experiment_id,
        run=run.pk,
        job=run.job_id,
        search=_search(owner, run).pk,
        what="config.json",
        model=model.pk,
        batch=batch.pk,
        import_job=version.import_job.job_id,
        upload=str(_upload(owner).pk),
        person=User.objects.create_user("pat", password="a long pass phrase").pk,
        invitation=invitation.pk,
        invitation_token=path.rsplit("/", 1)[-1],
        webhook=create_webhook(owner, base_url="http://lab", name="Chat", url="https://192.0.2.1/").pk,
    )


def _dataset(owner: User) -> DatasetVersion:
    version = ready_version(owner)
    version.images, version.counts = 1, {"train": {CLASSES[0]: 1}}
    version.save()
    job = _done("import", owner)
    DatasetImport.objects.create(job=job, version=version)
    _pack(jobs.folder_of(job) / "pictures" / "0.jpg")
    Refusal.objects.create(version=version, index=0, name="bad.jpg", verdict="refused", reason="No image.")
    length = _pack(version.folder / "faces-0.pack")
    Sample.objects.create(
        version=version, index=0, name="a.png", split="train", label=0, pack="faces-0.pack", offset=0,
        length=length, width=8, height=8, sha256="0" * 64,
    )  # fmt: skip
    return version


def _search(owner: User, run: Run) -> Search:
    """At rest, with one trial: the world's run."""
    search = searches.start_search(
        owner,
        version=run.version,
        preset=run.preset,
        config=run.train_config,
        space=[space.dimension_of(run.train_config, "optim.learning_rate", low=1e-4, high=1e-2, log=True)],
        objective="accuracy",
        name="Which rate?",
        budget=20,
        experiment=run.experiment,
        request_key=uuid.uuid4(),
    )
    Search.objects.update(state=Search.State.PAUSED, reason="Paused by the test.")
    Trial.objects.create(search=search, run=run, number=0)
    return search


def _batch(owner: User, model: Model) -> LabelBatch:
    job = _done("predict", owner)
    batch = LabelBatch.objects.create(owner=owner, name="Holiday", model=model, job=job)
    length = _pack(batch.folder / "faces.pack")
    _pack(batch.folder / "photos.pack")
    share = 1 / len(CLASSES)
    Prediction.objects.create(
        batch=batch, index=0, picture=0, file="a.png", photo=[0, length, 8, 8], label=0, confidence=share,
        probabilities=[share] * len(CLASSES), offset=0, length=length,
    )  # fmt: skip
    return batch


def _upload(owner: User) -> Upload:
    upload = Upload.objects.create(owner=owner, filename="more.zip", size=100)
    upload.path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(upload.path, "w"):
        pass
    return upload


def _done(kind: str, owner: User) -> Job:
    job = jobs.create(kind=kind, queue="cpu", owner=owner, title=f"A {kind}")
    Job.objects.filter(pk=job.pk).update(state=Job.State.FINISHED, finished_at=timezone.now())
    return job


def _pack(path: Path) -> int:
    out = io.BytesIO()
    Image.new("L", (8, 8), 128).save(out, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(out.getvalue())
