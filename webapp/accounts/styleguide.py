"""Examples for the style guide. Nothing of it is stored."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.utils import timezone

from webapp.accounts.models import User
from webapp.jobs.models import Job


class ExampleForm(forms.Form):
    """One field of each sort."""

    name = forms.CharField(help_text="As it will be listed.")
    epochs = forms.IntegerField(min_value=1, max_value=500)
    preset = forms.ChoiceField(choices=[("small", "Small"), ("paper", "As in the paper")])
    split = forms.ChoiceField(
        label="Validation",
        choices=[("given", "As given"), ("carved", "Carved from train")],
        widget=forms.RadioSelect,
        initial="given",
    )
    notes = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), required=False)
    archive = forms.FileField(required=False, help_text="A zip or a CSV.")
    private = forms.BooleanField(required=False, help_text="Only you and administrators see it.")


def example_form() -> ExampleForm:
    """Sent with a mistake in it, so that errors show."""
    return ExampleForm({"name": "FERPlus, majority", "epochs": 900, "preset": "small", "split": "given"})


def example_jobs(owner: User) -> list[Job]:
    """A job in each state."""
    now = timezone.now()
    jobs = [
        Job(kind="train", queue="gpu", state=state, title=f"Example {index}", owner=owner,
            phase="training" if state in Job.ACTIVE else "", done=8_400, total=25_060, unit="images",
            rate=73.4 if state == Job.State.RUNNING else 0.0,
            seconds_left=227.0 if state == Job.State.RUNNING else None)
        for index, state in enumerate(Job.State, start=1)
    ]  # fmt: skip
    for index, job in enumerate(jobs):
        job.created_at = now - timedelta(minutes=7 * index)
        if job.state == Job.State.FAILED:
            job.reason = "The disk is full. Free some space, then resume: nothing of the run is lost."
        if job.state == Job.State.FINISHED:
            job.done = job.total
    return jobs
