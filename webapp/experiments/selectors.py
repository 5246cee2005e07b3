"""What pages read of experiments and runs. Series for charts are in `points`, tables in `figures`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, FloatField, Max, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from mmfrm.presets import presets
from mmfrm.settings import Setting, settings_of
from webapp.accounts.models import User
from webapp.accounts.permissions import visible
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.experiments.models import Experiment, Run
from webapp.experiments.setting_fields import GROUPS, shown
from webapp.jobs.models import Job, JobEvent
from webapp.registry.models import Model

Choices = list[tuple[str, Any]]


def run_before(user: User, start_from: str) -> Run | None:
    """The run whose weights a start is of ("model:3", "run:7"), where somebody may see it."""
    kind, _, pk = start_from.partition(":")
    if not pk.isdecimal():
        return None
    runs = visible(Run.objects.all(), user)
    return runs.filter(**{"model__pk" if kind == "model" else "pk": int(pk)}).first()


def experiments(user: User) -> QuerySet[Experiment]:
    """Experiments that somebody may see, newest first, with how many of their runs there are and go on."""
    seen = visible(Run.objects.all(), user)
    accuracy = Cast(KeyTextTransform("accuracy", "runs__best"), FloatField())
    return (
        visible(Experiment.objects.select_related("owner"), user)
        .annotate(
            run_count=Count("runs", filter=Q(runs__in=seen)),
            active_count=Count(
                "runs", filter=Q(runs__in=seen, runs__job__state__in=[*Job.ACTIVE, Job.State.QUEUED])
            ),
            best_accuracy=Max(accuracy, filter=Q(runs__in=seen)),
        )
        .order_by("-created_at")
    )


def own_experiments(user: User) -> QuerySet[Experiment]:
    """Experiments to which somebody may add runs: their own; an administrator, to all."""
    mine = visible(Experiment.objects.all(), user)
    return (mine if user.is_administrator else mine.filter(owner=user)).order_by("-created_at")


def runs(user: User) -> QuerySet[Run]:
    """Runs that somebody may see, newest first."""
    return visible(
        Run.objects.select_related("owner", "job", "experiment", "trial", "version__dataset"), user
    )


def ready_versions(user: User) -> QuerySet[DatasetVersion]:
    """Versions that somebody may train on."""
    rows = DatasetVersion.objects.select_related("dataset").filter(ready_at__isnull=False)
    shown_rows = rows.filter(dataset__in=visible(Dataset.objects.all(), user))
    return shown_rows.order_by("dataset__name", "-number")


def start_choices(user: User) -> Choices:
    """What a run may begin with: nothing, a model, or an earlier run's best weights."""
    models = visible(Model.objects.order_by("-created_at"), user).values_list("pk", "name")
    trained = visible(Run.objects.exclude(best={}), user).values_list("pk", "name")
    groups: Choices = [
        ("Models", [(f"model:{pk}", name) for pk, name in models]),
        ("Best weights of runs", [(f"run:{pk}", name) for pk, name in trained]),
    ]
    return [("", "Scratch"), *[(title, rows) for title, rows in groups if rows]]


def start_of(user: User, choice: str) -> dict[str, Any]:
    """A choice of `start_choices` as a run keeps it."""
    kind, _, pk = choice.partition(":")
    if not pk:
        return {}
    row: Model | Run = (
        visible(Model.objects.all(), user).get(pk=pk) if kind == "model" else runs(user).get(pk=pk)
    )
    return {"kind": kind, "id": row.pk, "name": row.name}


def epochs_done(rows: Sequence[Run]) -> dict[int, int]:
    """How many epochs each run has ended, by the run's key."""
    last = (
        JobEvent.objects.filter(job__in=[run.job_id for run in rows], kind="epoch")
        .values_list("job__run")
        .annotate(last=Max("key"))
    )
    return {run: (key or 0) + 1 for run, key in last}


def rate_now(run: Run) -> str:
    """The learning rate of the last step that was told, for people; empty before any."""
    row = JobEvent.objects.filter(job=run.job_id, kind="step").order_by("-seq").first()
    return f"{row.payload['learning_rate']:.3g}" if row is not None else ""


def latest_runs(user: User, limit: int = 20) -> list[Run]:
    """The runs that somebody sees first."""
    return list(runs(user)[:limit])


def run_rows(rows: Sequence[Run]) -> list[dict[str, Any]]:
    """Runs as a table shows them: the epochs done beside each."""
    done = epochs_done(rows)
    return [{"run": run, "epochs_done": done.get(run.pk, 0), "epochs": run.epochs} for run in rows]


def facts_of(run: Run) -> list[tuple[str, str]]:
    """Where a run was computed and by which program, as label and value. Empty before it began."""
    facts = provenance_of(run)
    versions = facts.get("versions", {})
    device = " ".join(filter(None, (str(facts.get("device_name", "")), f"({facts.get('device', '')})")))
    rows = [
        ("Device", device if facts.get("device") else ""),
        ("Precision", facts.get("precision", "")),
        ("Threads", facts.get("threads", "")),
        ("Processes", facts.get("processes", "")),
        ("Parameters", f"{facts['parameters']:,}" if "parameters" in facts else ""),
        ("Steps an epoch", f"{facts['steps_per_epoch']:,}" if "steps_per_epoch" in facts else ""),
        *[(name, text) for name, text in versions.items()],
    ]
    return [(name, str(value)) for name, value in rows if value not in ("", None)]


def provenance_of(run: Run) -> dict[str, Any]:
    """What the trainer wrote about itself, with program versions; else what it said when it started."""
    try:
        written: dict[str, Any] = json.loads((run.folder / "provenance.json").read_text())
    except (OSError, ValueError):
        return dict(run.facts)
    return {**run.facts, **written}


def downloads_of(run: Run) -> list[dict[str, Any]]:
    """What can be taken away now, with what each is."""
    files = (
        ("model.zip", "Model", "The best weights and what they expect", "model/model.json"),
        ("last.ckpt", "Checkpoint", "All that is needed to go on where it ended", "last.ckpt"),
        ("epochs.csv", "Epochs", "Every figure of every epoch, for a spreadsheet", ""),
        ("metrics.json", "Figures", "The same with confusion matrices", ""),
        ("config.json", "Settings", "Every setting of this run", ""),
        ("job.json", "Job file", "For mmfrm on another machine", "job.json"),
    )
    return [
        {"what": what, "title": title, "text": text}
        for what, title, text, path in files
        if (run.folder / path).exists() or not path
    ]


def settings_table(run: Run) -> list[dict[str, Any]]:
    """Every setting of a run by group, with what its preset says where that differs."""
    preset = presets().get(run.preset)
    usual = {s.name: s.value for s in settings_of(preset)} if preset else {}
    rows = [_setting_row(s, usual) for s in settings_of(run.train_config)]
    return [
        {"title": title, "rows": [r for r in rows if r["setting"].group == name]}
        for name, (title, _) in GROUPS.items()
    ]


def _setting_row(setting: Setting, usual: dict[str, Any]) -> dict[str, Any]:
    differs = setting.name in usual and usual[setting.name] != setting.value
    return {
        "setting": setting,
        "value": shown(setting.value),
        "preset": shown(usual[setting.name]) if differs else "",
        "differs": differs,
    }
