"""Models made of others, without some of their expressions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.text import get_text_list

from mmfrm.failures import JobError
from mmfrm.variants import leave_out
from webapp.accounts.models import User
from webapp.errors import RefusedError
from webapp.registry import services
from webapp.registry.models import Model


def without(user: User, model: Model, names: Sequence[str], *, name: str = "") -> Model:
    """A model that never answers with these expressions; what it thought of them goes to the rest.

    It is as private as the one it is made of. Raises RefusedError where fewer than two would be left, or the
    weights are gone.
    """
    part = services.new_part()
    try:
        left = leave_out(model.folder, part, names)
        return _settled(
            user, model, list(left), name or f"{model.name} without {get_text_list(list(names), 'and')}", part
        )
    except (JobError, OSError) as error:
        raise RefusedError(str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@transaction.atomic
def _settled(user: User, model: Model, left: list[str], name: str, part: Path) -> Model:
    made = Model.objects.create(
        owner=model.owner if model.private else user,
        private=model.private,
        name=name[:200],
        classes=left,
        card=_card(model, left, user),
    )
    services.settle(made, part)
    return made


def _card(model: Model, left: list[str], user: User) -> dict[str, Any]:
    """The other model's card, less its figures, which do not hold for this one."""
    card = model.card
    gone = [name for name in model.classes if name not in left]
    more = [f"It knows no {get_text_list(gone, 'or')}: such a face is labelled as something else."]
    return {
        **card,
        "provenance": {
            **card.get("provenance", {}),
            "made_from": model.name,
            "left_out": gone,
            "promoted_by": str(user),
            "promoted_at": timezone.now().isoformat(),
        },
        "figures": {"val": {}, "test": {}},
        "limits": [*more, *card.get("limits", [])],
    }
