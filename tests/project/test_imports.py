"""Importing flaxmark is cheap, libraries have their places, and files, functions and folders stay small.

Which room of the package may import which is import-linter's to say.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import ROOT, TESTS

PACKAGE = ROOT / "flaxmark"
PLACES = {  # library -> where in the package it may be imported: a folder, or a file
    "flax.linen": ("models/",),
    "orbax": ("storage/checkpoint.py",),
    "matplotlib": ("system/matplotlib_setup.py",),
    "tyro": ("cli/",),
    "tensorboardX": ("storage/metric_log.py",),
    "tensorflow": ("data/", "inference/export/tensorflow_formats.py"),
    "tensorflow_datasets": ("data/",),
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, and what it imports from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def test_drawing_stands_alone() -> None:
    allowed = ("numpy", "flaxmark.data.drawn", "flaxmark.faces", *sys.stdlib_module_names)
    files = list((PACKAGE / "data" / "drawn").rglob("*.py"))
    assert files
    for path in files:
        strange = {name for name in imports(path) if not any(is_within(name, module) for module in allowed)}
        assert not strange, path


@pytest.mark.parametrize("library", PLACES)
def test_each_library_has_its_place(library: str) -> None:
    users = [path for path in PACKAGE.rglob("*.py") if any(is_within(name, library) for name in imports(path))]
    assert users
    assert [path for path in users if not path.relative_to(PACKAGE).as_posix().startswith(PLACES[library])] == []


def test_importing_flaxmark_loads_neither_tensorflow_nor_a_device() -> None:
    code = (
        "import sys, flaxmark; assert 'jax' not in sys.modules; flaxmark.predict; "
        "assert 'tensorflow' not in sys.modules; "
        "from jax._src import xla_bridge; assert not xla_bridge._backends"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_no_test_file_imports_another() -> None:
    for path in TESTS.rglob("*.py"):
        assert not [name for name in imports(path) if name.rpartition(".")[2].startswith("test_")], path


@pytest.mark.parametrize("place", ["flaxmark", "scripts", "tests", "benchmarks"])
def test_files_and_functions_are_short(place: str) -> None:
    for path in (ROOT / place).rglob("*.py"):
        source = path.read_text()
        assert len(source.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                documented = len((ast.get_docstring(node) or "").splitlines())
                assert node.end_lineno - node.lineno + 1 - documented <= 60, f"{path}: {node.name}"


def test_no_folder_of_the_package_is_crowded() -> None:
    for folder in (PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())):
        entries = [path.name for path in folder.iterdir() if not path.name.startswith("__") and path.name != "py.typed"]
        assert len(entries) <= 14, f"{folder}: {sorted(entries)}"
