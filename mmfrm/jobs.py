"""Job folders: job.json in, artefacts out. What a worker hands to its child, and what a cluster can run too.

No torch here: the web application writes these files.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmfrm.config import TrainConfig
from mmfrm.schema import Checked, ConfigError, from_dict, required, setting
from mmfrm.steering import read_orders

NO_GROUPS = "-"  # said instead of a column that groups faces
FORMAT = 1  # of job.json; raised when an older program could not read it


@dataclass(frozen=True, kw_only=True)
class Job(Checked):
    """Base of every job. The folder it lives in is its identity; artefacts are written beside job.json."""


@dataclass(frozen=True, kw_only=True)
class TrainJob(Job):
    """Train a network. Writes last.ckpt (resumable), model/ (the best weights) and events.jsonl."""

    data: str = required("Data set", "A native data-set folder, or anything `mmfrm import` reads.")
    config: TrainConfig = field(default_factory=TrainConfig)
    start_from: str = setting("", "Start from", "Model folder or checkpoint whose weights are the start.")
    steering: list[dict[str, Any]] = setting(  # noqa: RUF009
        list, "Steering", "Orders given since its start; see `mmfrm.steering`."
    )
    open_test: bool = setting(
        True, "Open the test split", "Once, at the end. Not where settings are still being chosen."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        read_orders(self.steering)  # raises ConfigError


@dataclass(frozen=True, kw_only=True)
class EstimateJob(Job):
    """Measure what a training would cost on this machine, by a few steps of it. Writes estimate.json."""

    config: TrainConfig = field(default_factory=TrainConfig)
    classes: int = setting(8, "Classes", "Of the data set.", low=2, high=64)
    seconds: float = setting(2.0, "Seconds", "How long each figure is measured.", low=0.1, high=600.0)


@dataclass(frozen=True, kw_only=True)
class EvaluateJob(Job):
    """Measure a model on one split of a data set. Writes figures.json."""

    model: str = required("Model", "Model folder (a run's model/), or `starter` or `quick`, which ship.")
    data: str = required("Data set", "A native data-set folder, or anything `mmfrm import` reads.")
    split: str = setting("test", "Split", "train, val, test, or all for the three together.")
    label_rule: str = setting(
        "majority",
        "Label rule",
        "How votes become a label.",
        choices=("majority", "argmax", "soft"),
    )
    mapping: dict[str, str] = setting(  # noqa: RUF009 - it makes a field, as the others do
        dict, "Mapping", "Data-set class to model class, where the names differ; an empty one leaves it out."
    )
    flip_average: bool = setting(False, "Flip averaging", "Average each face with its mirror image.")
    batch_size: int = setting(128, "Batch size", "Images at once.", low=1, high=4096)


@dataclass(frozen=True, kw_only=True)
class CompareJob(Job):
    """Compare two models on one split of a data set, image by image. Writes comparison.json."""

    before: str = required("Before", "Folder of the earlier model.")
    after: str = required("After", "Folder of the later model, whose classes count.")
    data: str = required("Data set", "A native data-set folder, or anything `mmfrm import` reads.")
    split: str = setting("test", "Split", "Whose images both answer.", choices=("train", "val", "test"))
    label_rule: str = setting(
        "majority", "Label rule", "How votes become a label.", choices=("majority", "argmax")
    )
    batch_size: int = setting(128, "Batch size", "Images at once.", low=1, high=4096)
    seed: int = setting(0, "Seed", "Draws the intervals.", low=0, high=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    """Label images. Writes predictions.csv; says Predicted rows in order."""

    source: str = required("Source", "An image, a folder of images, or a zip.")
    model: str = required(
        "Model", "Model folder (a run's model/), or `starter` (where none is named) or `quick`, which ship."
    )
    filename: str = setting("", "File name", "What a single image is called; empty: its own name.")
    temperature: float = setting(
        0.0, "Temperature", "Divides the logits: above 1 is less sure. 0: the model's own.", low=0.0
    )
    flip_average: bool = setting(False, "Flip averaging", "Average each face with its mirror image.")
    engine: str = setting(
        "auto",
        "Engine",
        "auto takes the fastest that answers the same.",
        choices=("auto", "torch", "openvino"),
    )
    faces: str = setting(
        "aligned",
        "Faces",
        "aligned: each image is one face crop; find: photos whose faces are to be found and aligned.",
        choices=("aligned", "find"),
    )
    min_face: int = setting(
        40, "Smallest face", "Pixels a side; smaller ones are not looked for.", low=20, high=4000
    )
    save_faces: bool = setting(
        False, "Save faces", "Also write faces.pack (encoded crops) and its offsets, for a web page to show."
    )
    save_photos: bool = setting(
        False,
        "Save photos",
        "Where faces are to be found: also write photos.pack (smaller copies) and its offsets.",
    )
    max_photo_bytes: int = setting(
        8 * 2**30, "Most bytes of photos", "Of photos.pack; further photos are labelled and not kept.", low=0
    )


@dataclass(frozen=True, kw_only=True)
class ExportJob(Job):
    """Write a model for other programs: safetensors and ONNX, and prove that ONNX answers the same."""

    model: str = required("Model", "Model folder (a run's model/).")
    data: str = setting(
        "", "Data set", "Its test faces show what reduced precision costs; empty: no such check."
    )


@dataclass(frozen=True, kw_only=True)
class BenchJob(Job):
    """Measure this machine: images a second in training and in prediction, by engine and precision."""

    model: str = setting(
        "", "Model", "Model folder; empty measures an untrained network of the paper's size."
    )
    seconds: float = setting(3.0, "Seconds", "How long each figure is measured.", low=0.1, high=600.0)


@dataclass(frozen=True, kw_only=True)
class LandmarksJob(Job):
    """Train the 68-point landmark network whose features MMFRM fuses. Writes landmarks.safetensors."""

    data: str = required("Faces", "A native data-set folder, or anything `mmfrm import` reads.")
    points: str = required(
        "Points", "An .npz with `names`, `points` (N, 68, 2) in pixels of 112×112, `found`."
    )
    epochs: int = setting(20, "Epochs", "Passes over the faces.", low=1, high=10_000)
    batch_size: int = setting(64, "Batch size", "Images a step.", low=2, high=4096)
    learning_rate: float = setting(2e-3, "Learning rate", "After warm-up.", low=1e-7, high=10.0)
    seed: int = setting(0, "Seed", "Draws weights, order and augmentation.", low=0, high=2**31 - 1)
    compile: bool = setting(
        False,
        "Compile",
        "torch.compile: slow first steps, half again as fast later.",
        rare=True,
    )


@dataclass(frozen=True, kw_only=True)
class SourceJob(Job):
    """Base of the jobs that read a source of faces: which, as what, and what is done to its pictures."""

    source: str = required("Source", "A zip, a folder or a CSV.")
    filename: str = setting(
        "", "File name", "What people call the source, where its path says nothing, as of uploads."
    )
    layout: str = setting(
        "auto",
        "Layout",
        "auto looks and says what it found.",
        choices=("auto", "ferplus", "raf_db", "fer2013", "folders", "csv", "images"),
    )
    faces: str = setting(
        "aligned",
        "Faces",
        "aligned: each image is one face crop; find: the face of each photo is found and aligned to 112×112.",
        choices=("aligned", "find"),
    )
    min_face: int = setting(
        40, "Smallest face", "Pixels a side; smaller ones are not looked for.", low=20, high=4000
    )
    several: str = setting(
        "largest",
        "Several faces",
        "Of a photo with more than one face: take the largest, or leave the photo out. Either is listed.",
        choices=("largest", "leave_out"),
    )
    mapping: dict[str, str] = setting(  # noqa: RUF009 - it makes a field, as the others do
        dict,
        "Mapping",
        "Class to the name it gets; two under one name become one, and an empty one leaves a class out.",
    )
    group_by: str = setting(
        "", "Group by", "Column that says who is who; empty: the one that is recognised; -: none."
    )
    splits: str = setting(
        "as_found",
        "Splits",
        "as_found, or none: forget the splits of the source, so that others are carved.",
        choices=("as_found", "none"),
    )
    max_files: int = setting(2_000_000, "Most files", "Refuses a larger source.", low=1)
    max_total_bytes: int = setting(200 * 2**30, "Most bytes", "Unpacked, all together.", low=1)
    max_pixels: int = setting(50_000_000, "Most pixels", "An image; larger ones are refused.", low=1)


@dataclass(frozen=True, kw_only=True)
class ImportJob(SourceJob):
    """Read any supported source into a native data-set folder at `out`. Resumable; lists all it refuses."""

    out: str = required("Data-set folder", "Where the native data set is made.")
    name: str = setting("", "Name", "Of the data set; empty: the source's.")


@dataclass(frozen=True, kw_only=True)
class PreviewJob(SourceJob):
    """Show what an import would make of some pictures. Writes preview.json and pictures/."""

    pictures: int = setting(
        12, "Pictures", "How many are looked at, from all over the source.", low=1, high=200
    )


@dataclass(frozen=True, kw_only=True)
class DrawJob(Job):
    """Make a native data-set folder of drawn parametric faces at `out`."""

    out: str = required("Data-set folder", "Where the native data set is made.")
    count: int = setting(3000, "Faces", "How many.", low=30, high=10_000_000)
    seed: int = setting(0, "Seed", "The same seed draws the same faces.", low=0, high=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class ReviseJob(Job):
    """Make a new version of a native data set at `out`, which shares the pixels of the old one."""

    source: str = required("Old version", "A native data-set folder.")
    out: str = required("Data-set folder", "Where the new version is made; keep it beside the old one.")
    exclude: list[int] = setting(list, "Exclude", "Indices of samples to leave out.")  # noqa: RUF009
    relabel: dict[str, str] = setting(  # noqa: RUF009
        dict, "Relabel", "Index of a sample to its class; empty: no label. Takes the place of votes."
    )
    tags: dict[str, str] = setting(dict, "Tags", "Index of a sample to tags, by spaces.")  # noqa: RUF009
    leave_out_leaks: bool = setting(
        False, "Leave out leaking images", "Training images whose duplicate is held out."
    )
    leave_out_near_constant: bool = setting(
        False, "Leave out near-constant images", "Images that show next to nothing."
    )
    carve: float = setting(
        0.0, "Carve", "Share of images for each split that is missing; 0: none.", low=0.0, high=0.5
    )
    seed: int = setting(0, "Seed", "Draws the carved splits.", low=0, high=2**31 - 1)
    add: str = setting("", "Add", "A source of faces to add, with classes of the old version; empty: none.")


JOBS: Mapping[str, type[Job]] = {
    "train": TrainJob,
    "estimate": EstimateJob,
    "evaluate": EvaluateJob,
    "compare": CompareJob,
    "predict": PredictJob,
    "export": ExportJob,
    "landmarks": LandmarksJob,
    "bench": BenchJob,
    "import": ImportJob,
    "preview": PreviewJob,
    "draw": DrawJob,
    "revise": ReviseJob,
}


def write_job(folder: Path, job: Job) -> None:
    """Write job.json, whole or not at all."""
    kind = next(k for k, c in JOBS.items() if type(job) is c)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"job.json.{os.getpid()}.part"  # the processes of torchrun write it all at once
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
