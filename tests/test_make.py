"""The commands that people type first, as far as they can be tried without a network."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What make reads of a fresh clone."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_without_a_new_enough_python_one_line_says_so(clone: Path) -> None:
    done = make(clone, "run", "PYTHON=")
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert "Python 3.11 or newer" in line
    assert not (clone / ".venv").exists()


def test_make_alone_says_what_there_is(clone: Path) -> None:
    told = make(clone).stdout
    for name in ("run", "test", "check", "env"):
        assert f"make {name}" in told


def test_an_environment_that_is_up_to_date_installs_nothing(clone: Path) -> None:
    stamp = make(clone, "env", "--dry-run").stdout.split()[-1]
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").touch()
    (clone / stamp).touch()
    assert "Nothing to be done" in make(clone, "env").stdout
    (clone / "pyproject.toml").write_text("changed")
    assert "pip install" in make(clone, "env", "--dry-run").stdout


def test_the_lock_pins_what_torch_the_tests_use_without_a_local_part() -> None:
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    assert "torch==2.13.0" in lines
    assert all("==" in line and "+" not in line for line in lines)


def test_ci_runs_what_people_run() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text().rstrip().endswith("make test")
    subprocess.run(["sh", "-n", str(script)], check=True)
