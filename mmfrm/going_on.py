"""A folder's job is begun, or gone on with, and never written over by another. No torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from mmfrm.jobs import Job, TrainJob, read_job, write_job
from mmfrm.schema import ConfigError
from mmfrm.settings import forbidden_changes


def begin_or_go_on(folder: Path, job: Job) -> None:
    """Write job.json, unless the folder has it: the same job goes on, with runtime settings as they are now.

    Raises ConfigError, naming what differs, where the folder holds another job, which is left alone.
    """
    if not (folder / "job.json").is_file():
        write_job(folder, job)
        return
    there = read_job(folder)
    if isinstance(there, TrainJob) and isinstance(job, TrainJob):
        job = dataclasses.replace(job, steering=there.steering)  # a steered run is still the same
        is_free = not forbidden_changes(there.config, job.config)
        if there != job and is_free and there == dataclasses.replace(job, config=there.config):
            write_job(folder, job)
            return
    if there == job:
        return
    if type(there) is not type(job):
        raise ConfigError(str(folder), "holds a job of another kind; choose another --out")
    differing = _differences(_flat(there), _flat(job))
    raise ConfigError(
        str(folder),
        f"holds another job ({'; '.join(differing)}); choose another --out, or delete it"
        + (f"; to train longer: python -m mmfrm steer {folder} --extend N" if _is_longer(there, job) else ""),
    )


def _is_longer(there: Job, job: Job) -> bool:
    if not (isinstance(there, TrainJob) and isinstance(job, TrainJob)):
        return False
    return job.config.optim.epochs > there.config.optim.epochs


def _flat(job: Job) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(job).items():
        if name == "config":
            flat |= {f"{group}.{k}": v for group, part in value.items() for k, v in part.items()}
        else:
            flat[name] = value
    return flat


def _differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [f"{k}: {json.dumps(a[k])} there, {json.dumps(b[k])} here" for k in a if a[k] != b.get(k)]
