"""The flaxmark command: `flaxmark train ..`, or `python -m flaxmark train ..`.

Importing this module loads neither JAX nor the command's own module, so that `flaxmark --help` answers at once.
"""

import contextlib
import difflib
import functools
import importlib
import itertools
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from flaxmark.cli.own_process import is_own_process, use_huge_pages
from flaxmark.errors import INTERRUPTED, USER_ERROR, ConfigError, explain

COMMANDS = {
    "predict": "find faces and landmarks in images and videos",
    "train": "train a network",
    "evaluate": "measure a trained network on a data set",
    "sweep": "train a grid of networks, losses and seeds",
    "report": "write the report of a sweep",
    "audit": "look for errors in a data set",
    "compare": "compare several systems on the same faces",
    "pack": "write a trained network as one small file",
    "export": "write a trained network for other software: ONNX, StableHLO, SavedModel, TFLite",
    "demo": "serve a web page that shows a network's landmarks",
    "draw": "draw a sheet of synthetic faces",
    "fit-detector": "fit the correction of a face detector's boxes",
    "aot": "predict what a run costs a TPU or GPU",
}
"""Name -> what it does, in the order of the help; each is a module of `flaxmark.cli.commands` with a `main`."""


@contextlib.contextmanager
def _output_may_end() -> Iterator[None]:
    """End quietly where the reader of standard output has left, as `head` does, with the status of SIGPIPE."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if is_own_process():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        closed = isinstance(error, BrokenPipeError)
        raise SystemExit(128 + signal.SIGPIPE if closed else explain(error)) from None


def _reader_has_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are reported all the same
    return bool(poll.poll(0))


@_output_may_end()
def main() -> None:
    """Run the command that the process's arguments name, and end the process."""
    name, arguments = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    if name in ("-h", "--help"):
        print(overview())
        raise SystemExit(0)
    if name == "--version":
        from flaxmark import __version__

        print(f"flaxmark {__version__}")
        raise SystemExit(0)
    if not name:
        raise SystemExit(explain(_empty_argument("the first argument ")))
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        guess = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"error: flaxmark {name}: no such command; {guess}", file=sys.stderr)
        raise SystemExit(USER_ERROR)
    run(name, arguments)


def overview() -> str:
    """The help of `flaxmark` itself."""
    lines = [f"  {name:<14}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: flaxmark COMMAND [flags]",
            "",
            "68-point face alignment in JAX: predict, train, evaluate.",
            "",
            *lines,
            "",
            "flaxmark COMMAND --help shows the flags of a command.",
        ]
    )


def run(name: str, arguments: list[str]) -> None:
    """Run the command of this name, a key of `COMMANDS`, with its own arguments; see `run_main`."""
    run_main(functools.partial(_run, name), arguments)


def _run(name: str, arguments: list[str]) -> None:
    """Load a command's module, with the user's extensions first, and call it."""
    if "FLAXMARK_EXTENSIONS" in os.environ:
        from flaxmark.config.files import load_extensions, named_extensions

        load_extensions(named_extensions())
    importlib.import_module(f"flaxmark.cli.commands.{name.replace('-', '_')}").main(arguments)


@_output_may_end()
def run_main(main: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Call a main function as flaxmark's commands are called: errors in one line, and the process ends after them.

    Another program that calls it keeps its process and its handlers of signals; it gets SystemExit.

    Exit status: 0 done, 1 failure of flaxmark, 2 user error, 130 Ctrl-C, 75 SIGTERM: the same command goes on.
    """
    own = is_own_process()
    if own:
        _open_standard_files()
        use_huge_pages()
    _quieten("--debug" in arguments)
    if own:
        from flaxmark.system.signals import end_when_preempted

        end_when_preempted()
    try:
        _refuse_empty(arguments)
        main(list(map(_with_home, arguments)))
    except KeyboardInterrupt as error:
        print("\ninterrupted", *error.args, file=sys.stderr)
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        sys.stderr.flush()
        status = getattr(error, "exit_status", INTERRUPTED)
        if own:  # Python would wait for a compilation in another thread, and XLA dies of ending during one
            os._exit(status)
        raise SystemExit(status) from None
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_has_left():
            raise
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        raise SystemExit(explain(error)) from None


def _open_standard_files() -> None:
    """Open what was closed (`>&-`), lest the next file take its number, and with it what libraries print."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument, which an unset shell variable leaves: it would pass for a flag that was left out."""
    for before, argument in itertools.pairwise(["", *arguments]):
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            about = name or before
            field = about[2:].replace("-", "_") if about.startswith("--") else None
            where = "" if field else f"the argument after {before} " if before else "the first argument "
            raise _empty_argument(where, field)


def _with_home(argument: str) -> str:
    """An argument with the home folder in place of `~` at the start of its value, where shells leave it."""
    flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    expanded = os.path.expanduser(value)
    if expanded == "~" or expanded.startswith("~/"):  # it would become a folder of that name
        field = flag.removeprefix("--").replace("-", "_") or None
        raise ConfigError("there is no home folder here; set HOME, or give the whole path", field=field, value=value)
    return flag + equals + expanded


def _empty_argument(where: str, field: str | None = None) -> ConfigError:
    """The error about an empty argument."""
    return ConfigError(f"{where}is empty; is a variable of the shell not set?", field=field)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning, ours or a library's, as one line."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # of a line of progress
    print(f"{clear}warning: {' '.join(str(message).split())}", file=sys.stderr)


def _quieten(debug: bool) -> None:
    """Silence what libraries print of their own accord, before they are loaded."""
    import logging
    import warnings

    import absl.logging

    from flaxmark.system.files import cache_dir

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA and TensorFlow print below this level
    # A second start loads its compiled steps; JAX's own variable names another folder.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_dir() / "xla"))
    warnings.filterwarnings("ignore", category=UserWarning, module="orbax")
    # Orbax prints a traceback from each of its threads, and leaves tasks and their errors behind, when a disk is full
    # or a file damaged; our own message says what is wrong.
    warnings.filterwarnings("ignore", category=RuntimeWarning, message="coroutine .* was never awaited")
    if not debug:
        warnings.showwarning = _show_warning
    absl.logging.set_verbosity(absl.logging.ERROR if debug else absl.logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
