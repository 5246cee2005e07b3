"""A finished split's figures as tables: what was confused with what, each expression, how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webapp.experiments.models import Run
from webapp.experiments.points import epoch_payloads
from webapp.jobs.models import JobEvent


@dataclass(frozen=True)
class Figures:
    """One split's figures, and how the page names them."""

    key: str  # test, best, last
    title: str
    note: str
    values: dict[str, Any]

    @property
    def script_id(self) -> str:
        """Of the element that holds `chart` as JSON."""
        return f"confusion-{self.key}"

    @property
    def classes(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.values.get("classes", [])
        return rows

    @property
    def chart(self) -> dict[str, Any]:
        """What the confusion chart draws: names and counts, rows true, columns said."""
        return {
            "title": self.title,
            "classes": [c["name"] for c in self.classes],
            "confusion": self.values.get("confusion", []),
        }

    @property
    def worst_confusions(self) -> list[dict[str, Any]]:
        """The three largest shares of a class that were taken for another."""
        names = [c["name"] for c in self.classes]
        found = []
        for true, row in enumerate(self.values.get("confusion", [])):
            total = sum(row)
            found += [
                {"true": names[true], "said": names[said], "count": n, "share": n / total}
                for said, n in enumerate(row)
                if said != true and n
            ]
        return sorted(found, key=lambda pair: -float(pair["share"]))[:3]


def of_run(run: Run) -> list[Figures]:
    """What a run can show so far: test, the best epoch and the last one on validation, in that order."""
    found = []
    if run.test:
        found.append(
            Figures("test", "Test", "Opened once, at the end, with the best epoch's weights.", run.test)
        )
    if run.best:
        note = f"Validation after epoch {run.best['epoch'] + 1}, the best so far."
        found.append(Figures("best", f"Best epoch ({run.best['epoch'] + 1})", note, run.best))
    last = JobEvent.objects.filter(job=run.job_id, kind="epoch").order_by("-key").first()
    if last is not None and last.key is not None and last.key != run.best.get("epoch"):
        note = f"Validation after epoch {last.key + 1}, the latest."
        found.append(Figures("last", f"Last epoch ({last.key + 1})", note, last.payload["val"]))
    return found


def epoch_rows(run: Run) -> list[dict[str, Any]]:
    """Every epoch as one flat row, for a spreadsheet: "val_accuracy", "train_recall_fear", …

    Epochs count from 1, as on the page.
    """
    return [_flat(payload) for payload in epoch_payloads(run)]


def _flat(payload: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"epoch": payload["epoch"] + 1}
    row |= {k: v for k, v in payload.items() if k not in ("epoch", "train", "val")}
    for split in ("train", "val"):
        for name, value in payload[split].items():
            if not isinstance(value, list | dict):
                row[f"{split}_{name}"] = value
        for one in payload[split].get("classes", ()):
            row |= {f"{split}_{name}_{one['name']}": v for name, v in one.items() if name != "name"}
    return row
