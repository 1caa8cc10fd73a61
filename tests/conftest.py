import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from helpers.fixture_300w import Tree, write_csv_tree, write_dlib_packaging, write_official_tree

from flaxmark.config import files

# Before any device is touched: several CPU devices, and no silent promotion.
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prepared sets of tests never reach the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def extensions() -> Iterator[None]:
    """Extensions and config files that a test file loads are not passed on to the processes of the next one."""
    before = dict(files._loaded)
    yield
    files._loaded.clear()
    files._loaded.update(before)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of the commands that a test starts: a shared cache, no accelerator, none of the user's faces, no warnings."""
    base = tmp_path_factory.getbasetemp()  # of one worker of several
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache_of_commands"
    kept = {name: value for name, value in os.environ.items() if name not in ("FLAXMARK_DATA", "XLA_FLAGS")}
    strict = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}
    return kept | strict | {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Of a file whose tests leave errors in tasks and threads behind: they are found in it, not in the next one."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def quick_runs() -> Iterator[None]:
    """Of a file that trains in its own process: programs that compile quickly, and the promotion that Adam needs.

    Both are set for all threads, as a run compiles in several.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def official_tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_official_tree(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="session")
def dlib_tree(tmp_path_factory: pytest.TempPathFactory, official_tree: Tree) -> Tree:
    return write_dlib_packaging(tmp_path_factory.mktemp("dlib"), official_tree)


@pytest.fixture(scope="session")
def csv_tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_csv_tree(tmp_path_factory.mktemp("csv"))


@pytest.fixture
def small(tmp_path: Path, official_tree: Tree) -> Path:
    """A folder with three good faces, to be spoilt."""
    folder = tmp_path / "small"
    (folder / "afw").mkdir(parents=True)
    for number in (2001, 2002, 2003):
        for suffix in (".jpg", ".pts"):
            name = f"afw/{number}_1{suffix}"
            shutil.copyfile(official_tree.folder / name, folder / name)
    return folder
