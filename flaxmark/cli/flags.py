"""Typed flags from dataclasses, in one style for all commands."""

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from flaxmark.cli.complaints import config_error
from flaxmark.errors import CheckpointError, ConfigError, FlaxmarkError, flag_of
from flaxmark.faces.markup import Markup
from flaxmark.faces.markup_files import load_markup
from flaxmark.schema import Choice, remake

RULES = ConstructorRegistry()
Parsed = TypeVar("Parsed")

OptionalFile = Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
OptionalFolder = Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]
Model = Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(metavar="FOLDER|FILE", help_behavior_hint="")]
# Required flags default to "", so that a misspelt flag is named before a missing one; `require_flags` refuses them.
RequiredFile = Annotated[str, tyro.conf.arg(metavar="FILE", help_behavior_hint="(required)")]
RequiredFolder = Annotated[str, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(required)")]


@RULES.primitive_rule
def _markup_flag(field: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A mark-up is one flag: its name, or the file that it is read from."""
    if field.type is not Markup:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME|FILE",
        instance_from_str=_load_markup,
        is_instance=lambda value: isinstance(value, Markup),
        str_from_instance=lambda markup: [markup.name],
    )


def _load_markup(words: list[str]) -> Markup:
    """The mark-up that a flag names; tyro keeps only the text of a ValueError."""
    try:
        return load_markup(words[0])
    except FlaxmarkError as error:
        raise ValueError(error.line(None)) from error


_expanding: list[Any] = []


def _own_flags(field: StructTypeInfo) -> StructConstructorSpec:
    """The flags of a dataclass by tyro's own rules; ours let a type pass while it is in `_expanding`."""
    _expanding.append(field.type)
    try:
        spec = ConstructorRegistry.get_struct_spec(field)
    finally:
        _expanding.pop()
    assert isinstance(spec, StructConstructorSpec)
    return spec


@RULES.struct_rule
def _choice_flags(field: StructTypeInfo) -> StructConstructorSpec | None:
    """A member of a family is a flag for its name and one for each of its fields."""
    if not (isinstance(field.type, type) and issubclass(field.type, Choice)) or field.type in _expanding:
        return None
    kind: Any = field.type
    spec = _own_flags(field)
    names = Literal[tuple(kind.members)]  # type: ignore[valid-type]
    chosen = StructFieldSpec("name", names, kind.name, "Which one to use; the flags below belong to it.")  # type: ignore[arg-type]
    return StructConstructorSpec(lambda name, **fields: kind(**fields), (chosen, *spec.fields))


@RULES.struct_rule
def _registered_flags(field: StructTypeInfo) -> StructConstructorSpec | None:
    """A field whose metadata has `choices`, a registry of records with titles, offers the names in it."""
    kind: Any = field.type
    choices = _choices_of(kind) if dataclasses.is_dataclass(kind) else {}
    if not choices or kind in _expanding:
        return None
    spec = _own_flags(field)
    fields = [_offer(f, choices[f.name]) if f.name in choices else f for f in spec.fields]
    return dataclasses.replace(spec, fields=tuple(fields))


def _choices_of(kind: Any) -> dict[str, Any]:
    """Field -> its registry."""
    return {f.name: f.metadata["choices"] for f in dataclasses.fields(kind) if "choices" in f.metadata}


def _offer(field: StructFieldSpec, registry: Any) -> StructFieldSpec:
    """A field whose choices, with their titles in the help, are the names in a registry."""
    names = dict.fromkeys([*registry, field.default])  # a default may need an extension that is not loaded
    text = field.helptext() if callable(field.helptext) else field.helptext
    titles = ", ".join(f"{name} ({record.title})" for name, record in registry.items())
    kind: Any = Literal[tuple(names)]
    return dataclasses.replace(field, type=kind, helptext=f"{(text or '').rstrip('.')}: {titles}.")


def parse_flags(
    kind: type[Parsed], arguments: Sequence[str], description: str | None, default: Parsed, command: str | None = None
) -> Parsed:
    """A dataclass filled from typed flags, one for each field; ConfigError names a flag that cannot be used.

    Args:
        kind: The dataclass.
        arguments: Without the program's name; `--help` prints and ends the process.
        description: First lines of the help.
        default: Values of fields that no flag names.
        command: Name of the flaxmark command, for the help.
    """
    default = _with_choices(default, arguments)
    program = command and f"flaxmark {command}"
    framed = io.StringIO()
    try:
        with contextlib.redirect_stderr(framed), _unbroken_lines(arguments):
            return tyro.cli(
                kind, prog=program, args=list(arguments), description=description, default=default, registry=RULES
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise config_error(framed.getvalue(), default) from None


def require_flags(parsed: Any, **examples: str) -> None:
    """Raise ConfigError for the first of these flags that was left out, with an example of its value."""
    for name, example in examples.items():
        if not getattr(parsed, name):
            raise ConfigError(f"is missing: for example {flag_of(name)} {example}", field=name)


@contextlib.contextmanager
def workdir_errors(workdir: str | None) -> Iterator[None]:
    """Name `--workdir` in the errors of loading the network in it."""
    try:
        if workdir and os.path.isfile(workdir) and not workdir.endswith(".safetensors"):
            reason = "is a file, not a run; name the workdir of a run, or a .safetensors file of flaxmark pack"
            raise CheckpointError(reason, file=workdir)
        yield
    except CheckpointError as error:
        if error.field is None and workdir:
            error.field, error.value = "workdir", workdir
            if os.path.normpath(error.file or workdir) == os.path.normpath(workdir):
                error.file = None
        raise


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
    """Keep tyro from breaking long file names in its errors at the terminal's edge."""
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
