"""Config files, which define `get_config()`, and extensions, which add losses, networks, heads, data sets and more."""

import difflib
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
from flaxmark.errors import ConfigError, FlaxmarkError
from flaxmark.models.losses import Loss
from flaxmark.models.resnet import Depth
from flaxmark.schema import Choice
from flaxmark.system.files import user_path

SHIPPED = "flaxmark.configs"
EXTENSIONS = "FLAXMARK_EXTENSIONS"
MAX_LISTED = 30

_loaded: dict[str, None] = {}  # a set that keeps the order


def find_config(name: str | Path) -> Path:
    """Path of a config file, or of the shipped config with this name, such as `resnet50_smooth_l1`.

    Raises ConfigError where there is none; it names a similar one, or lists the Python files beside it or the shipped
    configs.
    """
    path = user_path(name)
    if os.path.isfile(path):  # unlike Path.is_file also for names that are too long
        return path
    shipped = _shipped_folder()
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    if parts and not path.is_absolute() and ".." not in parts:
        found = shipped.joinpath(*parts).with_suffix(".py")
        if os.path.isfile(found):
            return found
    is_folder = os.path.isdir(path)
    folder = path if is_folder else path.parent
    near = sorted(other.as_posix() for other in folder.glob("*.py")) if is_folder or len(path.parts) > 1 else []
    near = near or sorted(other.stem for other in shipped.glob("*.py") if other.stem != "__init__")
    listing = f"there are {', '.join(near[:MAX_LISTED])}{' ..' if len(near) > MAX_LISTED else ''}"
    close = difflib.get_close_matches(path.as_posix(), near, 1)
    reason = f"{'is a folder' if is_folder else 'no such file'}; {f'did you mean {close[0]}?' if close else listing}"
    raise ConfigError(reason, field="config", value=name)


def _shipped_folder() -> Path:
    """Folder of the configs that come with flaxmark."""
    try:
        return Path(str(resources.files(SHIPPED)))
    except ModuleNotFoundError:  # a checkout that is not installed
        return Path(__file__).parents[2] / "configs"


def load_config(name: str | Path, depth: Depth | None = None, loss: str | Loss | None = None) -> Config:
    """Load a config: run its file and call its `get_config`.

    Args:
        name: Path of a Python file, which is executed, or name of a config that comes with flaxmark, such as
            `resnet50_smooth_l1`.
        depth: ResNet depth, passed on if `get_config` has this parameter; None leaves it to the file.
        loss: Loss or name of a loss, passed on if `get_config` has this parameter; None leaves it to the file.

    Returns:
        The config; `flaxmark.config.checks.check_config` checks its values.

    Raises:
        ConfigError: There is no such file, it fails, or its `get_config` does not return a `Config`.
    """
    path = find_config(name)
    try:
        module = _run_file(path)
        make = getattr(module, "get_config", None)
        given = {"depth": depth, "loss": loss}
        takes = inspect.signature(make).parameters if make else {}
        config = make and make(**{key: value for key, value in given.items() if value is not None and key in takes})
    except (Exception, SystemExit) as error:  # the file is the user's program
        raise ConfigError(_describe(error), field="config", value=name) from error
    if not isinstance(config, Config):
        raise ConfigError("must define get_config() that returns a flaxmark Config", field="config", value=name)
    return config


def load_extensions(names: Iterable[str]) -> None:
    """Run Python files, or import modules, that define losses, networks, heads, data sets or augmentations.

    Raises ConfigError for one that fails.
    """
    for name in names:
        try:
            if name.endswith(".py") and not os.path.exists(name):
                raise ConfigError("no such file")
            if name.endswith(".py"):
                _run_file(Path(name))
            else:
                importlib.import_module(name)
                _check_members()
                _loaded[name] = None
        except (Exception, SystemExit) as error:  # the user's program
            raise ConfigError(_describe(error), field=EXTENSIONS, value=name) from error


def named_extensions() -> list[str]:
    """Extensions in the environment variable FLAXMARK_EXTENSIONS: files and modules, separated as in PATH."""
    return [os.path.expanduser(name) for name in os.environ.get(EXTENSIONS, "").split(os.pathsep) if name]


def extensions() -> list[str]:
    """Config files and extensions that this process has run; another process loads them to know the same names."""
    return list(_loaded)


def _describe(error: BaseException) -> str:
    """An error of a user's file, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        return f"it calls sys.exit({text})"
    return text if isinstance(error, FlaxmarkError) else f"{type(error).__name__}: {text}"


def _run_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own."""
    name = f"flaxmark_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and tyro look up a class's module there
    spec.loader.exec_module(module)
    _check_members()
    _loaded[str(path.resolve())] = None
    return module


def _check_members() -> None:
    """Raise ConfigError for a loss, network, head or augmentation that is no dataclass itself, and forget it."""
    for family in Choice.__subclasses__():
        for name, member in list(family.members.items()):
            if "__dataclass_params__" not in vars(member):  # a parent's would be inherited
                del family.members[name]
                raise ConfigError(f"the class {member.__qualname__} needs @dataclasses.dataclass(frozen=True)")
