"""Config files, whose `get_config()` returns a config, and extensions, which add losses, networks and more."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from types import ModuleType

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.models.losses import Loss
from flaxmark.models.resnet import Depth

SHIPPED = "flaxmark.configs"
EXTENSIONS = "FLAXMARK_EXTENSIONS"

_loaded: dict[str, str] = {}


def find_config(name: str | Path) -> Path:
    """A config file by its path, or one that comes with flaxmark by its name, such as `resnet50_smooth_l1`."""
    path = Path(name)
    if path.is_file():
        return path
    try:
        shipped = Path(str(resources.files(SHIPPED)))
    except ModuleNotFoundError:  # a checkout that is not installed
        shipped = Path(__file__).parents[2] / "configs"
    inside = Path(path.name if path.parent == Path("configs") else path)
    found = shipped / inside.with_suffix(".py")
    if found.is_file() and not inside.is_absolute() and ".." not in inside.parts:
        return found
    near = sorted(p.stem for p in shipped.glob("*.py") if p.stem != "__init__")
    listing = f"; there are {', '.join(near)}" if near else ""
    raise ConfigError(f"{'is a folder' if path.is_dir() else 'no such file'}{listing}", field="config", value=name)


def load_config(name: str | Path, depth: Depth | None = None, loss: str | Loss | None = None) -> Config:
    """Run a config file and return what its `get_config()` returns.

    Args:
        name: A Python file of the user's own (it is executed), or the name of one that comes with flaxmark.
        depth: Passed on where its `get_config` takes a depth; by default it has its own.
        loss: The same for a loss.

    Returns:
        The config.

    Raises:
        ConfigError: No such file, or it does not define `get_config() -> Config`.
    """
    path = find_config(name)
    try:
        module = _run_file(path)
        make = getattr(module, "get_config", None)
        given = {"depth": depth, "loss": loss}
        takes = inspect.signature(make).parameters if make else {}
        config = make and make(**{key: value for key, value in given.items() if value is not None and key in takes})
    except Exception as error:  # the file is the user's program
        raise ConfigError(f"{type(error).__name__}: {error}", field="config", value=name) from error
    if not isinstance(config, Config):
        raise ConfigError("must define get_config() that returns a flaxmark Config", field="config", value=name)
    return config


def load_extensions(names: Iterable[str]) -> None:
    """Run Python files, or import modules, that define losses, networks, heads, data sets or augmentations."""
    for name in names:
        try:
            if name.endswith(".py"):
                _run_file(Path(name))
            else:
                importlib.import_module(name)
                _loaded[name] = name
        except Exception as error:  # the user's program
            raise ConfigError(f"{name}: {type(error).__name__}: {error}", field=EXTENSIONS) from error


def named_extensions() -> list[str]:
    """Files and modules that the environment variable FLAXMARK_EXTENSIONS names, as PATH names folders."""
    return [name for name in os.environ.get(EXTENSIONS, "").split(os.pathsep) if name]


def extensions() -> list[str]:
    """Config files and extensions that this process has run: another one needs them to know the same names."""
    return list(_loaded)


def _run_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own."""
    name = f"flaxmark_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where help texts of its classes are looked for
    spec.loader.exec_module(module)
    _loaded[str(path.resolve())] = name
    return module
