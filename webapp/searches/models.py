"""Searches for settings: which may vary, how they are chosen, and the runs that tried some of them."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from mmfrm.config import TrainConfig
from mmfrm.schema import from_dict
from mmfrm.settings import validation_figure
from webapp.datasets.models import DatasetVersion
from webapp.experiments.models import Experiment, Run
from webapp.jobs.models import Job


class Search(models.Model):
    """Trainings inside one experiment, each begun with settings that the earlier ones suggest.

    It is seen and steered by whoever may see and change its experiment. going → paused → going,
    and from both → stopped | finished; either can be given more trials (→ going).
    """

    class State(models.TextChoices):
        GOING = "going", "Going on"
        PAUSED = "paused", "Paused"
        STOPPED = "stopped", "Stopped"
        FINISHED = "finished", "Finished"

    class Objective(models.TextChoices):
        ACCURACY = "accuracy", "Accuracy"
        MEAN_CLASS = "mean_class_accuracy", "Mean-class accuracy"
        MACRO_F1 = "macro_f1", "Macro-F1"
        LOSS = "loss", "Cross-entropy"

    class Chooser(models.TextChoices):
        TPE = "tpe", "What good trials had in common (TPE)"
        RANDOM = "random", "At random"

    class Pruner(models.TextChoices):
        MEDIAN = "median", "Stop trials below the median"
        HALVING = "halving", "Keep the best third, again and again (successive halving)"
        NONE = "none", "Let every trial finish"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="searches")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    # Versions with runs cannot be deleted; a search without any loses nothing with its version.
    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    preset = models.CharField(max_length=20)
    config = models.JSONField()  # of mmfrm.config.TrainConfig: what all trials have in common
    start_from = models.JSONField(default=dict, blank=True)
    space = models.JSONField()  # of webapp.searches.space.Dimension
    objective = models.CharField(max_length=40, choices=Objective.choices)  # of a trial's validation
    chooser = models.CharField(max_length=16, choices=Chooser.choices, default=Chooser.TPE)
    pruner = models.CharField(max_length=16, choices=Pruner.choices, default=Pruner.MEDIAN)
    grace_epochs = models.PositiveIntegerField(default=2)  # of a trial, before it may be pruned
    seed = models.PositiveIntegerField(default=0)  # of the choosing; the trainings' is in `config`

    budget = models.PositiveIntegerField()  # trials, whatever becomes of them
    parallel = models.PositiveIntegerField(default=1)  # at most so many are open at once
    ends_at = models.DateTimeField(null=True, blank=True)  # no trial begins after it

    state = models.CharField(max_length=16, choices=State.choices, default=State.GOING)
    reason = models.TextField(blank=True)  # why it is in this state, for people
    changed_at = models.DateTimeField(auto_now_add=True)  # when it came into this state
    forgiven = models.PositiveIntegerField(default=0)  # trials before this number no longer count as failures
    importance = models.JSONField(
        default=dict, blank=True
    )  # {"of": finished trials, "shares": {setting: 0…1}}
    created_at = models.DateTimeField(auto_now_add=True)
    request_key = models.UUIDField(unique=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name_plural = "searches"
        indexes: ClassVar = [models.Index(fields=["state"])]

    def __str__(self) -> str:
        return self.name

    @property
    def train_config(self) -> TrainConfig:
        return from_dict(TrainConfig, self.config)

    @property
    def is_open(self) -> bool:
        """Whether it still goes through its budget."""
        return self.state in (self.State.GOING, self.State.PAUSED)

    @property
    def is_maximised(self) -> bool:
        return self.objective != self.Objective.LOSS

    @property
    def figure(self) -> str:
        """The objective's name among a split's figures."""
        return validation_figure(self.objective)


class Trial(models.Model):
    """One run of a search. Settings, epochs and figures are the run's own."""

    class Outcome(models.TextChoices):
        OPEN = "open", "Open"
        COMPLETE = "complete", "Complete"
        PRUNED = "pruned", "Pruned"
        FAILED = "failed", "Failed"
        STOPPED = "stopped", "Stopped"

    search = models.ForeignKey(Search, on_delete=models.CASCADE, related_name="trials")
    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="trial")
    number = models.PositiveIntegerField()  # from 0; shown from 1
    judged = models.PositiveIntegerField(default=0)  # epochs that were compared with other trials
    pruned_after = models.PositiveIntegerField(null=True, blank=True)  # so many epochs

    class Meta:
        ordering: ClassVar = ["number"]
        # Two sweeps at once cannot begin the same trial.
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["search", "number"], name="one_trial_a_number")
        ]

    def __str__(self) -> str:
        return f"Trial {self.number + 1} of {self.search_id}"

    @property
    def outcome(self) -> str:
        """What became of it, from its job's state: a pruned run that somebody resumes is open again."""
        state, outcomes = self.run.job.state, self.Outcome
        if state == Job.State.FINISHED:
            has_figure = self.run.best.get(self.search.figure) is not None
            return outcomes.COMPLETE if has_figure else outcomes.FAILED
        if state == Job.State.STOPPED:
            return outcomes.STOPPED if self.pruned_after is None else outcomes.PRUNED
        return outcomes.FAILED if state == Job.State.FAILED else outcomes.OPEN
