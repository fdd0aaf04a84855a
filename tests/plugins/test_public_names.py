"""The names that the documentation offers to plugins exist, and the pages agree with the code."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_NAMES = ROOT / "docs" / "reference" / "plugin-api.md"
PLUGIN_PAGE = ROOT / "plugins" / "README.md"


def documented() -> dict[str, list[str]]:
    """Return the names of each public module, by the tables of the page of public names."""
    rows = re.findall(r"^\| `(popbench\.\w+)` \| (.+?) \|", PUBLIC_NAMES.read_text(encoding="utf-8"), re.MULTILINE)
    return {module: re.findall(r"`(\w+)`", names) for module, names in rows}


MODULES = documented()


def test_the_page_lists_every_public_wing_and_its_names_once() -> None:
    assert {f"popbench.{name}" for name in ("engines", "local", "progress", "stats", "testing", "video")} <= set(
        MODULES
    )
    for names in MODULES.values():
        assert len(names) == len(set(names))


@pytest.mark.parametrize("module", MODULES)
def test_every_documented_name_can_be_imported(module: str) -> None:
    imported = importlib.import_module(module)
    assert [name for name in MODULES[module] if not hasattr(imported, name)] == []
    assert [name for name in MODULES[module] if name.startswith("_")] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_public_wing_is_documented_in_full(module: str) -> None:
    exported = getattr(importlib.import_module(module), "__all__", None)
    assert exported is None or sorted(exported) == sorted(MODULES[module])


def test_the_names_of_popbench_local_on_the_page_for_authors_exist() -> None:
    page = PLUGIN_PAGE.read_text(encoding="utf-8")
    section = page[page.index("## Models on this machine") : page.index("## Failures")]
    table = [row for row in section.splitlines() if row.startswith("| folders") or row.startswith("| memory")]
    names = [name for row in table for name in re.findall(r"`([A-Za-z_]+)`", row)]
    assert names
    assert [name for name in names if name not in MODULES["popbench.local"]] == []


@pytest.mark.parametrize("page", [PUBLIC_NAMES, PLUGIN_PAGE])
def test_modules_that_a_page_imports_from_are_public(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    imports = re.findall(r"^\s*from (popbench\.[\w.]+) import (.+)$", text, re.MULTILINE)
    assert [module for module, _ in imports if module not in MODULES] == []
    for module, names in imports:
        assert {name.strip() for name in names.split(",")} <= set(MODULES[module])


def imported_names(path: Path) -> list[tuple[str, str]]:
    """Return the modules of popbench that a file imports from, with the imported names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [(node.module, alias.name) for node in froms if (node.module or "").startswith("popbench.")
            for alias in node.names if node.module]  # fmt: skip


def test_first_party_plugins_import_documented_names_only() -> None:
    files = [path for path in ROOT.glob("plugins/popbench_*/**/*.py") if "data" not in path.parts]
    strange = {
        (path.relative_to(ROOT).as_posix(), module, name)
        for path in files
        for module, name in imported_names(path)
        if name not in MODULES.get(module, ())
    }
    assert strange == set()
