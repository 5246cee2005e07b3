"""Scripts, styles and icons as they are served in production: hashed, complete, and ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

STATIC = Path(settings.BASE_DIR) / "static"
TEMPLATES = Path(settings.BASE_DIR) / "templates"
OURS = sorted(p for p in STATIC.rglob("*") if p.suffix in (".js", ".css") and "vendor" not in p.parts)
IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](?P<path>\.{1,2}/[^"']+)["']""")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What collectstatic makes with the storage of production. It raises where a name does not resolve."""
    root = tmp_path_factory.mktemp("static")
    storages = settings.STORAGES | {"staticfiles": {"BACKEND": "webapp.staticfiles.HashedStaticFiles"}}
    with override_settings(STORAGES=storages, STATIC_ROOT=root):
        call_command("collectstatic", interactive=False, verbosity=0)
    return root


@pytest.fixture(scope="module")
def manifest(collected: Path) -> dict[str, str]:
    paths: dict[str, str] = json.loads((collected / "staticfiles.json").read_text())["paths"]
    return paths


def test_every_file_gets_a_hashed_name(collected: Path, manifest: dict[str, str]) -> None:
    for name, hashed in manifest.items():
        assert name != hashed
        assert (collected / hashed).is_file(), name


def test_every_import_of_a_module_resolves_to_a_hashed_file(
    collected: Path, manifest: dict[str, str]
) -> None:
    hashed_files, imports = set(manifest.values()), 0
    for source in OURS:
        if source.suffix != ".js":
            continue
        hashed = collected / manifest[source.relative_to(STATIC).as_posix()]
        for found in IMPORT.finditer(hashed.read_text()):
            target = (hashed.parent / found["path"]).resolve().relative_to(collected.resolve()).as_posix()
            assert target in hashed_files, f"{source.name} imports {found['path']}"
            imports += 1
    assert imports > 10


def test_every_url_in_a_style_sheet_resolves(collected: Path, manifest: dict[str, str]) -> None:
    urls = 0
    for name, hashed in manifest.items():
        if not name.endswith(".css"):
            continue
        text = (collected / hashed).read_text()
        for url in re.findall(r"url\(\s*[\"']?([^\"')]+)", text):
            if url.startswith(("data:", "#", "%23")):
                continue
            assert (collected / hashed).parent.joinpath(url).resolve().is_file(), f"{name}: {url}"
            urls += 1
    assert urls >= 2  # the typeface


def test_every_static_file_that_a_template_names_exists() -> None:
    named = {
        (template.relative_to(TEMPLATES).as_posix(), name)
        for template in TEMPLATES.rglob("*.*")
        for name in re.findall(r"""{%\s*static\s+["']([^"']+)["']""", template.read_text())
    }
    assert len(named) > 20
    assert not [(template, name) for template, name in named if not (STATIC / name).is_file()]


def test_every_icon_that_is_used_is_in_the_sprite() -> None:
    sprite = ElementTree.parse(STATIC / "vendor/icons/icons.svg")  # noqa: S314  # our own file
    known = {symbol.attrib["id"] for symbol in sprite.iter("{http://www.w3.org/2000/svg}symbol")}
    used = _icons_used()
    assert len(used) > 40
    assert not {(where, name) for where, name in used if name not in known}


def test_the_sprite_holds_what_its_list_names() -> None:
    sprite = ElementTree.parse(STATIC / "vendor/icons/icons.svg")  # noqa: S314
    known = {symbol.attrib["id"] for symbol in sprite.iter("{http://www.w3.org/2000/svg}symbol")}
    assert known == set((STATIC / "vendor/icons.txt").read_text().split())


def test_nothing_is_fetched_from_elsewhere() -> None:
    pages = list(TEMPLATES.rglob("*.html"))
    for path in [*OURS, *pages]:
        text = path.read_text().replace("http://www.w3.org/", "")
        remote = re.findall(r"""(?:src|href|url|import|fetch)\W{1,3}["']?(?:https?:)?//[^\s"')]+""", text)
        assert not remote, f"{path.name}: {remote}"


def test_no_template_holds_a_script_or_an_event_attribute() -> None:
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        for attributes, body in re.findall(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL):
            assert "src=" in attributes, path
            assert not body.strip(), path
        assert not re.search(r"<[^>]+\son(click|change|submit|load|input|key\w+)\s*=", text), path


def test_vendored_packages_are_pinned_licensed_and_listed() -> None:
    vendor = STATIC / "vendor"
    pinned: dict[str, str] = json.loads((vendor / "package.json").read_text())["dependencies"]
    readme = (vendor / "README.md").read_text()
    folders = {p for p in vendor.iterdir() if p.is_dir()}
    assert len(folders) == len(pinned)
    for folder in folders:
        assert (folder / "LICENSE").stat().st_size > 200, folder
        assert f"`{folder.name}/`" in readme
    for name, version in pinned.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} is not pinned"
        assert f"| `{name}` | {version} |" in readme
    assert not [p for p in vendor.rglob("*.js") if "sourceMappingURL=" in p.read_text(errors="ignore")[-300:]]


def _icons_used() -> set[tuple[str, str]]:
    """(file, icon) in templates and modules, also those passed to components by a literal name."""
    used = set()
    for path in TEMPLATES.rglob("*.html"):
        for name in re.findall(r"""{%\s*(?:icon|empty_state)\s+["']([^"']+)["']""", path.read_text()):
            used.add((path.name, name))
    for path in (STATIC / "js").rglob("*.js"):
        text = path.read_text()
        used |= {(path.name, name) for name in re.findall(r"""\bicon\(["']([^"']+)["']\)""", text)}
    for table in ("toast.js", "job.js"):
        block = re.search(r"const ICONS = {(.*?)};", (STATIC / "js" / table).read_text(), re.DOTALL)
        assert block
        used |= {(table, name) for name in re.findall(r': "([^"]+)"', block[1])}
    from webapp.templatetags.house import NAVIGATION, STATE_ICONS

    used |= {("house.py", name) for name in STATE_ICONS.values()}
    return used | {("house.py", symbol) for _, symbol, _, _ in NAVIGATION}
