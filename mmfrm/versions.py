"""Which versions of what made a result. No torch: its version is read from its metadata."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "numpy", "pillow", "safetensors", "openvino", "onnxruntime", "simplejpeg")


def versions() -> dict[str, str]:
    """Versions of this program, its git commit where there is one, Python, the machine and main packages."""
    found = {
        "mmfrm": _installed("mmfrm") or "source",
        "git": git_commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    found |= {name: _installed(name) for name in PACKAGES}
    return {name: value for name, value in found.items() if value}


def git_commit() -> str:
    """Commit of the source tree this runs from, with '+' where it was changed; empty outside of git."""
    here = Path(__file__).parent
    if not (here.parent / ".git").exists():
        return ""
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + "+" * bool(_git(here, "status", "--porcelain", "--untracked-files=no", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
