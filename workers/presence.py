"""Saying that a worker is there, and what machine it has."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import threading
from typing import Any

import psutil
from django.db import connections

from webapp.jobs import roster
from workers.patience import AWAY
from workers.shares import cores

EVERY = 5.0  # seconds


def host() -> str:
    """This machine's name (a container's id)."""
    return socket.gethostname()


def worker_name(queue: str) -> str:
    """Unlike any other worker's, also of the same queue on the same machine."""
    return f"{queue}-{os.getpid()}@{host()}"


def announce(queue: str, stop: threading.Event) -> threading.Thread:
    """Say again and again that this process works for a queue, until told to stop."""
    thread = threading.Thread(target=_announce, args=(queue, stop), name="presence", daemon=True)
    thread.start()
    return thread


def _announce(queue: str, stop: threading.Event) -> None:
    facts = machine_facts()
    while True:
        try:
            roster.seen(name=worker_name(queue), queue=queue, host=host(), pid=os.getpid(), facts=facts)
        except AWAY:
            connections.close_all()
        if stop.wait(EVERY):
            break
    try:
        roster.gone(worker_name(queue))
    except AWAY:
        pass  # it will be seen as gone soon anyway
    finally:
        connections.close_all()


def machine_facts() -> dict[str, Any]:
    """What jobs get here. Without torch: the names of GPUs come from NVIDIA's own tool."""
    gpus = _gpus()
    return {
        "threads": cores(),
        "device": ", ".join(gpus) or platform.processor() or platform.machine(),
        "gpus": len(gpus),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.stdout.splitlines() if line.strip()]
