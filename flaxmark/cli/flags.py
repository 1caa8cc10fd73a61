"""Typed flags from dataclasses: one style for all commands, and complaints in one line."""

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from flaxmark.errors import ConfigError
from flaxmark.faces.markup import Markup
from flaxmark.faces.markup_files import load_markup
from flaxmark.schema import Choice, remake

RULES = ConstructorRegistry()
Parsed = TypeVar("Parsed")


@RULES.primitive_rule
def _markup_flag(field: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A mark-up is one flag: its name, or the file that it is read from."""
    if field.type is not Markup:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME|FILE",
        instance_from_str=lambda words: load_markup(words[0]),
        is_instance=lambda value: isinstance(value, Markup),
        str_from_instance=lambda markup: [markup.name],
    )


_expanding: list[Any] = []


@RULES.struct_rule
def _choice_flags(field: StructTypeInfo) -> StructConstructorSpec | None:
    """A member of a family is a flag for its name and one for each of its fields."""
    if not (isinstance(field.type, type) and issubclass(field.type, Choice)) or field.type in _expanding:
        return None
    kind: Any = field.type
    _expanding.append(kind)
    try:
        spec = ConstructorRegistry.get_struct_spec(field)
    finally:
        _expanding.pop()
    assert isinstance(spec, StructConstructorSpec)
    names = Literal[tuple(kind.members)]  # type: ignore[valid-type]
    chosen = StructFieldSpec("name", names, kind.name, "Which one; the flags below are its own.")  # type: ignore[arg-type]
    return StructConstructorSpec(lambda name, **fields: kind(**fields), (chosen, *spec.fields))


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
    default = _with_choices(default, arguments)
    framed = io.StringIO()
    try:
        with contextlib.redirect_stderr(framed), _unbroken_lines(arguments):
            return tyro.cli(kind, args=list(arguments), description=description, default=default, registry=RULES)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_unframe(framed.getvalue())) from None


def _with_choices(default: Parsed, arguments: Sequence[str]) -> Parsed:
    """The defaults with the members that flags such as `--loss.name` choose: their fields become flags."""
    for place, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        value = value or (arguments[place + 1] if place + 1 < len(arguments) else "")
        if flag.startswith("--") and flag.endswith(".name"):
            default = _choose(default, flag[2:-5].replace("-", "_").split("."), value)
    return default


def _choose(config: Any, path: Sequence[str], name: str) -> Any:
    """A config in which the member of a family that a dotted path leads to is another one."""
    if not path:
        known = isinstance(config, Choice) and name in config.members  # else the parser complains
        return remake(config, config.member(name)) if known and config.name != name else config
    # The fields of a run's config are flags without a prefix.
    field = next((f for f in (path[0], "run") if hasattr(config, f)), None)
    if field is None:
        return config
    inside = _choose(getattr(config, field), path if field == "run" else path[1:], name)
    return dataclasses.replace(config, **{field: inside})


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
