"""What all scripts share: the config file and typed flags, quiet libraries, and errors in one line."""

import argparse
import contextlib
import dataclasses
import io
import itertools
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import absl.logging
import tyro

from flaxmark.config.schema import Config, Depth, cache_dir, load_config
from flaxmark.errors import ConfigError
from flaxmark.faces.markup import Markup
from flaxmark.faces.markup_files import load_markup
from flaxmark.system.signals import INTERRUPTED, OUR_ERROR, USER_ERROR, end_when_preempted

HUGE_PAGES = "glibc.malloc.hugetlb=1"


class Parser(argparse.ArgumentParser):
    """Flags of a script without a config; like all others it complains in one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Args:
            message: What is wrong with them.

        Raises:
            ConfigError: Always.
        """
        files = [word for word in message.split() if word.startswith("-") and os.path.exists(word)]
        raise ConfigError(f"{message}; " + (f"is it the file ./{files[0]}?" if files else "--help shows all flags"))


_FIELD_RULES = tyro.constructors.ConstructorRegistry()


@_FIELD_RULES.primitive_rule
def _markup_flag(field: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """A mark-up is one flag: its name, or the file that it is read from."""
    if field.type is not Markup:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME|FILE",
        instance_from_str=lambda words: load_markup(words[0]),
        is_instance=lambda value: isinstance(value, Markup),
        str_from_instance=lambda markup: [markup.name],
    )


Parsed = TypeVar("Parsed")
WithConfig = TypeVar("WithConfig", bound="ConfigArguments")


@dataclasses.dataclass(frozen=True)
class ConfigArguments:
    """A config and where its results go."""

    run: Annotated[Config, tyro.conf.arg(name="")]
    config: str | None = None
    """Python file with get_config(); every other flag below changes one of its values."""
    workdir: str | None = None
    """Folder for all that is written, or gs://BUCKET/FOLDER; runs/<config name> by default."""
    debug: bool = False
    """Show a traceback when something fails."""


@dataclasses.dataclass(frozen=True)
class RunArguments(ConfigArguments):
    """One run."""

    distributed: bool = False
    """Join the other processes of a pod or cluster first."""


def config_from_arguments(
    kind: type[WithConfig], description: str, arguments: Sequence[str], depth: Depth | None = None
) -> WithConfig:
    """Read `--config FILE`, the run's own switches, and any field of the config as a typed flag.

    Args:
        kind: The switches.
        description: Heads the help.
        arguments: Without the program's name.
        depth: For config files that have another recipe for each.

    Returns:
        The arguments; `run` is the resolved config.

    Raises:
        ConfigError: The config file or a flag cannot be used.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", nargs="?", const="")
    file = first.parse_known_args(arguments)[0].config
    if file == "":
        raise ConfigError("--config: names no file; for example --config configs/resnet50_smooth_l1.py")
    default = kind(run=load_config(file, depth) if file else Config(), config=file)
    return parse_flags(kind, arguments, description, default)


def parse_flags(kind: type[Parsed], arguments: Sequence[str], description: str, default: Parsed) -> Parsed:
    """Typed flags for the fields of a dataclass.

    Args:
        kind: The dataclass.
        arguments: Without the program's name; `--help` prints and ends the process.
        description: Heads the help.
        default: Values of fields that no flag names.

    Returns:
        An instance of `kind`.

    Raises:
        ConfigError: An unknown flag or a value of the wrong type.
    """
    framed = io.StringIO()
    try:
        with contextlib.redirect_stderr(framed), _unbroken_lines(arguments):
            return tyro.cli(kind, args=list(arguments), description=description, default=default, registry=_FIELD_RULES)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_unframe(framed.getvalue())) from None


@contextlib.contextmanager
def _unbroken_lines(arguments: Sequence[str]) -> Iterator[None]:
    """Let tyro's complaints be as wide as they are: it breaks long names of files at the terminal's edge."""
    before = os.environ.get("COLUMNS")
    if not {"-h", "--help"} & set(arguments):
        os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = before


def _unframe(text: str) -> str:
    """What tyro says in a frame, in one line: the complaint, and the first flag that may have been meant."""
    lines = [line.strip("│ ") for line in text.splitlines() if not line.startswith(("╭", "╰"))]
    blocks = [block.split() for block in re.split("─{3,}", "\n".join(lines))]
    complaint = " ".join(blocks[0]).split(" Got errors:")[0].removeprefix("Error parsing ")
    guesses = [word for block in blocks if block[:1] == ["Perhaps"] for word in block if word.startswith("--")]
    return f"{complaint.rstrip('.')}; " + (f"did you mean {guesses[0]}?" if guesses else "--help shows all flags")


def default_workdir(arguments: ConfigArguments) -> str:
    """`--workdir`, or runs/ and the config's name with its folder below configs/."""
    if not arguments.config:
        raise ConfigError("--config FILE is missing: for example --config configs/resnet50_smooth_l1.py")
    if arguments.workdir:
        return arguments.workdir
    parts = Path(arguments.config).with_suffix("").parts
    below = parts[parts.index("configs") + 1 :] if "configs" in parts else parts[-1:]
    return str(Path("runs", "_".join(below)))


def new_file(out: str | None, overwrite: bool, endings: tuple[str, ...]) -> Path | None:
    """Refuse a file that `--out` may not be, before anything slow starts.

    Args:
        out: The argument.
        overwrite: It may exist.
        endings: Which ones it may have, with their dots; "" for a folder.

    Returns:
        Its path, or None where there is no `--out`.

    Raises:
        ConfigError: Wrong ending, no folder that can be written, or it exists.
    """
    if out is None:
        return None
    path = Path(out)
    if path.suffix.lower() not in endings:
        raise ConfigError(f"--out {out}: the ending must be {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {out}: no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--out {out}: the folder {path.parent} cannot be written")
    if path.is_dir() and "" not in endings:
        raise ConfigError(f"--out {out}: is a folder; name a file")
    if path.exists() and not overwrite:
        raise ConfigError(f"--out {out}: exists; give another name or --overwrite")
    return path


def new_folder(flag: str, name: str | Path) -> Path:
    """Make a folder, before anything slow starts.

    Args:
        flag: For the message.
        name: It may exist.

    Returns:
        Its path.

    Raises:
        ConfigError: It cannot be made or written.
    """
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{flag} {name}: {error.strerror}; name a folder that can be written") from error
    if not os.access(path, os.W_OK):
        raise ConfigError(f"{flag} {name}: cannot be written; name another folder")
    return path


def run_command(main: Callable[[list[str]], None]) -> None:
    """Run a script's main function and end the process.

    Exit status: 0 done, 1 our failure, 2 the user's to mend, 130 Ctrl-C, 75 SIGTERM: the same command goes on.

    Args:
        main: Takes the arguments without the program's name.
    """
    _ask_for_huge_pages()
    arguments = sys.argv[1:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA and TensorFlow talk below this level
    # A second start loads its compiled steps; JAX's own variable names another folder.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir() / "xla"))
    warnings.filterwarnings("ignore", category=UserWarning, module="orbax")
    # Orbax prints a traceback from each of its threads, and leaves tasks and their errors behind, when a disk is full
    # or a file damaged; what is wrong is said by ours.
    warnings.filterwarnings("ignore", category=RuntimeWarning, message="coroutine .* was never awaited")
    absl.logging.set_verbosity(absl.logging.ERROR if "--debug" in arguments else absl.logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    end_when_preempted()
    try:
        _refuse_empty(arguments)
        main(arguments)
    except KeyboardInterrupt as error:
        print("\ninterrupted", *error.args, file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not SystemExit: Python would wait for a compilation in another thread, and XLA dies of ending during one.
        os._exit(getattr(error, "exit_status", INTERRUPTED))
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        raise SystemExit(explain(error)) from None


def _refuse_empty(arguments: Sequence[str]) -> None:
    """What a variable of the shell that is not set leaves behind would pass for a flag that was left out."""
    for before, argument in itertools.pairwise(["the first argument", *arguments]):
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            raise ConfigError(f"{name or before}: is empty; is a variable of the shell not set?")


def _ask_for_huge_pages() -> None:
    """Start this process again with memory in huge pages, where glibc can.

    XLA takes the memory of a step from the system and gives it back each time; in pages of 4 KB that costs a tenth
    of the step on a CPU (docs/performance.md). glibc reads its tunables only when a program starts.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = HUGE_PAGES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def explain(error: Exception) -> int:
    """Say in one line what went wrong.

    Args:
        error: What ended a command.

    Returns:
        The exit status.
    """
    if isinstance(error, ConfigError):
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    kind = type(error).__name__
    print(f"error: {kind}: {' '.join(str(error).split())} (--debug shows where)", file=sys.stderr)
    return OUR_ERROR
