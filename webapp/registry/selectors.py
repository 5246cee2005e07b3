"""What pages read of models."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from webapp.accounts.models import User
from webapp.accounts.permissions import may_view, visible
from webapp.experiments.models import Run
from webapp.registry.models import Model


def models(user: User) -> QuerySet[Model]:
    """Models that somebody may see, newest first, with how many batches each has labelled."""
    rows = Model.objects.select_related("owner", "run__experiment").annotate(batch_count=Count("batches"))
    return visible(rows.order_by("-created_at"), user)


def size_bytes(model: Model) -> int:
    """What its weights take. What engines keep beside them is made anew wherever it is missing."""
    weights = model.folder / "model.safetensors"
    return weights.stat().st_size if weights.is_file() else 0


def may_open(user: User, run: Run) -> bool:
    """Whether somebody may follow a model back to its run."""
    return may_view(user, run)
