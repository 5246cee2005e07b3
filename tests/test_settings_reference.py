"""Every environment variable that is read is explained in .env.example, and nothing else is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.server import compose

REPOSITORY = Path(__file__).resolve().parent.parent
NOT_SETTINGS = {
    "DJANGO_SETTINGS_MODULE",  # Django's own
    "UVICORN_PORT",  # set by docker-compose.yml itself
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",  # torchrun's own
    "XDG_CACHE_HOME", "ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG",  # those of the system and of libraries
}  # fmt: skip


def variables_read() -> set[str]:
    """Names in `env.str("NAME")`, `os.environ.get("NAME")` and `environ["NAME"]` of all three floors."""
    names = set()
    for package in ("webapp", "workers", "mmfrm"):
        for path in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    if re.search(r"(^|\.)(env|environ)$", ast.unparse(node.func.value)):
                        names.add(node.args[0])
                elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
                    names.add(node.slice)
    return {node.value for node in names if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def variables_explained() -> set[str]:
    text = (REPOSITORY / ".env.example").read_text()
    return set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))


def test_every_variable_that_is_read_is_explained() -> None:
    assert "SECRET_KEY" in variables_read()
    assert variables_read() - NOT_SETTINGS <= variables_explained()


def test_nothing_is_explained_that_nobody_reads() -> None:
    of_compose = {found["name"] for found in compose.VARIABLE.finditer(compose.FILE.read_text())}
    assert variables_explained() <= variables_read() | of_compose


def test_every_variable_has_words_above_it() -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^#?[A-Z_]+=", line):
            above = next(text for text in reversed(lines[:number]) if not re.match(r"^#?[A-Z_]+=", text))
            assert above.startswith("# "), line
