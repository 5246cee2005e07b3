"""Job folders: job.json in, artefacts out. What a worker hands to its child, and what a cluster can run too.

No torch here: the web application writes these files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmfrm.config import TrainConfig
from mmfrm.schema import ConfigError, from_dict

FORMAT = 1  # of job.json; raised when an older program could not read it


@dataclass(frozen=True, kw_only=True)
class Job:
    """Base of every job. The folder it lives in is its identity; artefacts are written beside job.json."""


@dataclass(frozen=True, kw_only=True)
class TrainJob(Job):
    """Train a network. Writes last.ckpt and best.ckpt (resumable), model/ (to take away), events.jsonl."""

    data: str  # native data-set folder (see mmfrm.data.native), or anything `mmfrm import` reads
    config: TrainConfig = field(default_factory=TrainConfig)
    start_from: str = ""  # model folder or checkpoint whose weights are the start


@dataclass(frozen=True, kw_only=True)
class EvaluateJob(Job):
    """Figures of a model on one split of a data set. Writes figures.json."""

    model: str
    data: str
    split: str = "test"
    label_rule: str = "majority"
    mapping: dict[str, str] = field(default_factory=dict)  # data-set class -> model class, "" leaves it out


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    """Label images. Writes predictions.csv; says Predicted rows in order."""

    model: str
    source: str  # file, folder or zip
    temperature: float = 1.0
    flip_average: bool = False
    engine: str = "auto"  # auto | torch | openvino
    save_faces: bool = False  # also write faces.pack (encoded crops) and its offsets, for a web page to show


@dataclass(frozen=True, kw_only=True)
class ImportJob(Job):
    """Read any supported source into a native data-set folder at `out`. Resumable; lists all it refuses."""

    source: str
    out: str
    name: str = ""
    layout: str = "auto"  # auto | ferplus | raf_db | fer2013 | folders | csv | images
    max_files: int = 2_000_000
    max_total_bytes: int = 200 * 2**30
    max_pixels: int = 50_000_000


@dataclass(frozen=True, kw_only=True)
class DrawJob(Job):
    """Make a native data-set folder of drawn parametric faces at `out`."""

    out: str
    count: int = 3000
    seed: int = 0


JOBS: Mapping[str, type[Job]] = {
    "train": TrainJob,
    "evaluate": EvaluateJob,
    "predict": PredictJob,
    "import": ImportJob,
    "draw": DrawJob,
}


def write_job(folder: Path, job: Job) -> None:
    """Write job.json, whole or not at all."""
    kind = next(k for k, c in JOBS.items() if type(job) is c)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "job.json.part"
    part.write_text(json.dumps({"format": FORMAT, "kind": kind, **dataclasses.asdict(job)}, indent=2) + "\n")
    part.replace(folder / "job.json")


def read_job(folder: Path) -> Job:
    """The job of a folder. Raises ConfigError naming the field, or the file, that is wrong."""
    try:
        data = json.loads((folder / "job.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(str(folder / "job.json"), f"cannot be read ({error})") from error
    if data.pop("format", None) != FORMAT:
        raise ConfigError("format", f"this program reads format {FORMAT}")
    kind = data.pop("kind", None)
    if kind not in JOBS:
        raise ConfigError("kind", f"{kind!r} is not one of {', '.join(JOBS)}")
    return from_dict(JOBS[kind], data)
