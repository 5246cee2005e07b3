"""`python -m mmfrm steer FOLDER`: orders for a training, also while it runs. No torch."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from mmfrm.jobs import TrainJob, read_job, write_job
from mmfrm.schema import ConfigError
from mmfrm.steering import EXTEND, SCALE_RATE, SET_RATE, Order, in_words, read_orders

OPTIONS = {
    "--extend": (
        EXTEND,
        "N",
        "Train N epochs more, also after the end, or fewer: -N. A cosine goes on over the new total.",
    ),
    "--scale-rate": (SCALE_RATE, "FACTOR", "Multiply the learning rate of all later steps."),
    "--rate": (SET_RATE, "RATE", "The learning rate of the next step; the schedule goes on from it."),
}


def add_steer_command(commands: Any) -> None:
    """Add it to the parser's commands."""
    command = commands.add_parser(
        "steer",
        help="Extend a training or change its learning rate",
        description="Write orders into FOLDER/job.json. A training that runs now takes them up when its "
        "epoch ends, any other when it is started or goes on (python -m mmfrm run FOLDER). One with "
        "--events json, as the web application starts them, hears only whoever started it.",
    )
    command.add_argument("folder", type=Path, help="A training's folder.")
    for option, (do, metavar, text) in OPTIONS.items():
        command.add_argument(option, dest=do, type=float, metavar=metavar, help=text)
    command.set_defaults(act=_steer, parser=command)


def _steer(given: argparse.Namespace) -> int:
    job = read_job(given.folder)
    if not isinstance(job, TrainJob):
        raise ConfigError(str(given.folder), "holds no training")
    last = max((order.number for order in read_orders(job.steering)), default=0)
    wanted = [(do, getattr(given, do)) for do, _, _ in OPTIONS.values() if getattr(given, do) is not None]
    if not wanted:
        raise ConfigError("steer", f"needs one of {', '.join(OPTIONS)}")
    orders = [Order(number=last + i, do=do, value=value) for i, (do, value) in enumerate(wanted, start=1)]
    steering = [*job.steering, *map(dataclasses.asdict, orders)]
    write_job(given.folder, dataclasses.replace(job, steering=steering))
    for order in orders:
        print(in_words(order.do, order.value))
    print("Taken up when the epoch ends, if the training runs now.")
    print(f"Otherwise taken up by: python -m mmfrm run {given.folder}")
    return 0
