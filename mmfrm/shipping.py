"""A finished run as a model that ships with this package: `python -m mmfrm.shipping RUN FOLDER`.

The weights are halved, and the card is made of what the run wrote: data, recipe, figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mmfrm.card import figures_of, recipe_of
from mmfrm.events import EpochEnd, Evaluated, Finished, read_events
from mmfrm.failures import JobError
from mmfrm.jobs import TrainJob, read_job
from mmfrm.presets import presets
from mmfrm.variants import halve


def ship(run: Path, folder: Path, *, data_name: str, preset: str, began_with: str = "") -> dict[str, Any]:
    """Write the best weights of a finished run to `folder`, with a card; returns the card.

    `began_with`: in words, the weights that the run started from, where it did not start from scratch.
    Raises JobError where the run has not ended, or started from weights that nobody names.
    """
    job = read_job(run)
    if not isinstance(job, TrainJob):
        raise JobError(f"{run} is no training.", resumable=False)
    if job.start_from and not began_with:
        raise JobError(f"{run} did not start from scratch: say with what (--began-with).", resumable=False)
    told = run / "events.jsonl"
    events = read_events(told) if told.is_file() else []
    tested = [e.figures for e in events if isinstance(e, Evaluated)]
    epochs = {e.epoch: e.val for e in events if isinstance(e, EpochEnd)}
    if not (events and isinstance(events[-1], Finished)):
        raise JobError(f"{run} has not ended. Go on with it first.", resumable=False)
    halve(run / "model", folder)
    path = folder / "model.json"
    content = json.loads(path.read_text())
    best = int(content["card"]["epoch"])
    facts = json.loads((run / "provenance.json").read_text())
    content["card"] = {
        "temperature": content["card"]["temperature"],
        "epoch": best,
        "data": {
            "name": data_name,
            "images": sum(facts["images"].values()),
            "counts": facts["images"],
            "fingerprint": facts["data_fingerprint"],
        },
        "recipe": recipe_of(
            job.config, preset, epochs=job.config.optim.epochs, parameters=facts["parameters"]
        ),
        "start_from": began_with,
        "versions": facts["versions"],
        "figures": {"val": figures_of(epochs[best]) | {"epoch": best}},
    }
    if tested:
        content["card"]["figures"]["test"] = figures_of(tested[-1])
    path.write_text(json.dumps(content, indent=1) + "\n")
    return dict(content["card"])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mmfrm.shipping", description=__doc__)
    parser.add_argument("run", type=Path, help="The folder of a finished training.")
    parser.add_argument("folder", type=Path, help="Where the model goes.")
    parser.add_argument("--data-name", required=True, help="What the data are called on the card.")
    parser.add_argument(
        "--preset", default="small", choices=tuple(presets()), help="What the run began with."
    )
    parser.add_argument(
        "--began-with",
        default="",
        help="In words, the weights that the run started from; none if from scratch.",
    )
    given = parser.parse_args()
    try:
        card = ship(**vars(given))
    except JobError as error:
        print(error, file=sys.stderr)
        return 1
    figures = card["figures"].get("test", card["figures"]["val"])
    print(json.dumps({k: v for k, v in figures.items() if k != "classes"}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
