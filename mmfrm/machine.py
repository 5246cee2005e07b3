"""What this machine is and how much of it this process may use. No torch."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from mmfrm.versions import versions


def allowed_threads() -> int:
    """MMFRM_THREADS (how a worker shares the machine), else the cores this process may use."""
    given = os.environ.get("MMFRM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """Where things are kept that can be made again: MMFRM_CACHE, else the user's cache folder."""
    given = os.environ.get("MMFRM_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmfrm"


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """The processor's name and instruction sets, or as much of them as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features", "CPU part")
    first = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in reversed(lines))}
    return " | ".join(first[k] for k in wanted if k in first)


def machine_identity(threads: int) -> str:
    """Names everything that decides which engine is the fastest here; 16 hexadecimal digits."""
    programs = {k: v for k, v in versions().items() if k in ("openvino", "torch", "machine")}
    switches = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return sha256(f"{cpu_name()} {threads} {programs} {switches}".encode()).hexdigest()[:16]


def tune_allocator() -> bool:
    """Let glibc keep freed memory instead of returning it to the system after every operation.

    Activations come and go many times a step; giving their pages back and faulting them in again costs
    a third of a CPU training step and more (1.3-1.7× measured), and a fifth of decoding face crops. True
    where it was done (glibc only).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # musl has none
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4  # names of malloc.h
    done = (mallopt(m_mmap_max, 0), mallopt(m_trim_threshold, 2**31 - 1), mallopt(m_top_pad, 64 * 2**20))
    return all(done)
