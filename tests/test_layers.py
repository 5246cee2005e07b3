"""Who may know whom: the three storeys of the house."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
WEB = {"django", "celery", "channels", "channels_redis", "kombu", "redis", "webapp", "workers"}
OF_MMFRM_FOR_WEBAPP = {
    "schema", "config", "settings", "presets", "jobs", "events", "classes", "spreadsheet", "shipped",
    "steering", "card", "variants", "failures",
}  # fmt: skip


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """Every module that any file of a package imports, also inside functions."""
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def breaches(package: str, forbidden: set[str]) -> list[str]:
    return [f"{path}: {name}" for path, name in imports(package) if name.split(".")[0] in forbidden]


def test_mmfrm_knows_nothing_of_the_web_or_the_workers() -> None:
    assert breaches("mmfrm", WEB) == []


def test_webapp_imports_neither_torch_nor_the_workers() -> None:
    assert breaches("webapp", {"torch", "workers"}) == []


def test_webapp_knows_only_the_contracts_of_mmfrm() -> None:
    foreign = [
        f"{path}: {name}"
        for path, name in imports("webapp")
        if name.split(".")[0] == "mmfrm" and name.split(".")[1] not in OF_MMFRM_FOR_WEBAPP
    ]
    assert foreign == []


def test_workers_do_not_import_torch() -> None:
    assert breaches("workers", {"torch"}) == []


def test_workers_write_only_through_services() -> None:
    """No row is made, changed or deleted by the ORM in workers/."""
    writing = {
        "save",
        "create",
        "update",
        "delete",
        "bulk_create",
        "bulk_update",
        "get_or_create",
        "update_or_create",
    }
    written = [
        f"{path}:{node.lineno} {node.func.attr}"
        for path in sorted((REPOSITORY / "workers").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in writing
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("digest", "services"))
        if ast.unparse(node.func.value) != "os.environ"
    ]
    assert written == []


@pytest.mark.parametrize(
    "module", ["webapp.asgi", "workers.tasks", "workers.process", "workers.supervisor", "workers.commands"]
)
def test_importing_it_leaves_torch_unloaded(module: str, tmp_path: Path) -> None:
    code = (
        f"import django, sys; django.setup(); import {module}; "
        "sys.exit(', '.join({'torch', 'openvino', 'onnxruntime'} & set(sys.modules)) or 0)"
    )
    env = {"DJANGO_SETTINGS_MODULE": "webapp.settings", "DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "config",
        "presets",
        "events",
        "classes",
        "jobs",
        "schema",
        "steering",
        "card",
        "variants",
        "run",
        "data.ingest",
    ],
)
def test_what_the_web_and_imports_use_of_mmfrm_does_without_torch(module: str) -> None:
    code = f"import sys, mmfrm.{module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
