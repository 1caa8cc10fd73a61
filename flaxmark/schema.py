"""Common parts of all configs: bounds on fields, families whose members are chosen by name, and a JSON form."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self, get_type_hints

import typeguard

from flaxmark.errors import ConfigError

EXTENSION_HINT = "if it comes from an extension, name its file in FLAXMARK_EXTENSIONS"


def remake(old: Any, kind: type[Any], **fields: Any) -> Any:
    """Another member of a family with the fields that both have, and the given ones."""
    own = {field.name for field in dataclasses.fields(kind)}
    shared = {f.name: getattr(old, f.name) for f in dataclasses.fields(old) if f.name in own}
    return kind(**shared | fields)


def bounded(default: Any, interval: str) -> Any:
    """A dataclass field with bounds.

    Args:
        default: Default value of the field.
        interval: Allowed interval of its numbers, such as `(0, 1]` or `[64, 2048] pixels`; None is always allowed.

    Returns:
        The field, for the body of a dataclass.

    Raises:
        ConfigError: The interval is not written so.
    """
    try:
        _inside(0, interval)
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{interval!r} is no interval; write it as (0, 1], [64, 2048] pixels or [0, inf)") from error
    return dataclasses.field(default=default, metadata={"interval": interval})


class Choice:
    """Base of a family of frozen dataclasses that are chosen by name, such as losses.

    A subclass that sets `name` joins its family: it can be chosen by a flag (`--loss.name`), its fields become flags,
    and JSON files store its name and fields.
    """

    name: ClassVar[str]
    members: ClassVar[dict[str, type[Any]]]
    default_name: ClassVar[str]

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Start a family, or add a member to one."""
        super().__init_subclass__(**arguments)
        if Choice in cls.__bases__:
            cls.members = {}
        if "name" in cls.__dict__:
            other = cls.members.setdefault(cls.name, cls)
            if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ConfigError(f"{cls.__qualname__}: the name {cls.name!r} is taken by {other.__qualname__}")
            cls.members[cls.name] = cls

    @classmethod
    def member(cls, name: str) -> type[Self]:
        """The member with a name; ConfigError if there is none."""
        if name not in cls.members:
            raise ConfigError(f"{name!r} is none of {', '.join(cls.members)}; {EXTENSION_HINT}", field="name")
        return cls.members[name]

    @classmethod
    def upgrade(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Convert fields that an earlier version stored to the current ones."""
        return values


JSON_FORMS: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}
"""Type with its own JSON form -> functions to and from that form."""


def to_dict(config: Any) -> Any:
    """A config as plain dictionaries, lists, numbers and strings, ready for JSON."""
    if type(config) in JSON_FORMS:
        return JSON_FORMS[type(config)][0](config)
    if not dataclasses.is_dataclass(config):
        return config
    values = {field.name: to_dict(getattr(config, field.name)) for field in dataclasses.fields(config)}
    return {"name": config.name, **values} if isinstance(config, Choice) else values


def from_dict(values: Any, kind: type[Any]) -> Any:
    """Rebuild a config from the form of `to_dict`, as checkpoints have it.

    Args:
        values: Field -> value; missing fields have their defaults.
        kind: The dataclass to build, or the family to choose from.

    Returns:
        An instance of `kind`.

    Raises:
        ConfigError: A field or name that this version does not know, or a value of another type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"must be an object with the fields of {kind.__name__}, not {values!r:.40}")
    if issubclass(kind, Choice):
        values = dict(values)
        kind = kind.member(str(values.pop("name", kind.default_name)))
        values = kind.upgrade(values)
    types = get_type_hints(kind)
    fields = {field.name: types[field.name] for field in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(fields)):
        raise ConfigError(f"is not known to this version of flaxmark as a field of {kind.__name__}", field=unknown[0])
    built: dict[str, Any] = {}
    for name, value in values.items():
        try:
            built[name] = _from_json(value, fields[name])
        except ConfigError as error:
            field = name if error.field is None else f"{name}.{error.field}"
            raise ConfigError(error.reason, field=field, value=error.value) from error
    return kind(**built)


def _from_json(value: Any, kind: Any) -> Any:
    """The value of a field from its JSON form, with its type checked."""
    if kind in JSON_FORMS:
        try:
            return JSON_FORMS[kind][1](value)
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, Choice)):
        return from_dict(value, kind)
    value = tuple(value) if isinstance(value, list) else value
    try:
        return typeguard.check_type(value, kind)
    except typeguard.TypeCheckError as error:
        raise ConfigError(" ".join(str(error).split()), value=f"{value!r:.40}") from error


def check_bounds(config: Any, prefix: str = "") -> None:
    """Check that every number of a config, nested ones included, is finite and lies in its field's interval.

    ConfigError names the first one that does not; `prefix`, with its dot, begins the name.
    """
    for name, interval, value in _numbers(config, prefix):
        if not _inside(value, interval or "(-inf, inf)"):
            raise ConfigError(f"must be {f'in {interval}' if interval else 'finite'}", field=name, value=value)


def require(holds: bool, field: str, value: Any, reason: str) -> None:
    """Raise ConfigError about a field's value unless a condition holds."""
    if not holds:
        raise ConfigError(reason, field=field, value=value)


def _numbers(config: Any, prefix: str) -> Iterator[tuple[str, str | None, float]]:
    """Dotted name, interval and value of each number."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield name, field.metadata.get("interval"), number


def _inside(value: float, interval: str) -> bool:
    """Whether a finite number lies in an interval such as `(0, 1] pixels`."""
    ends = interval.split(" ")
    if ends[0][0] not in "[(" or ends[0][-1] != "," or ends[1][-1] not in "])":
        raise ValueError(interval)
    low, high = float(ends[0][1:-1]), float(ends[1][:-1])
    above = low <= value if ends[0][0] == "[" else low < value
    below = value <= high if ends[1][-1] == "]" else value < high
    return abs(value) <= sys.float_info.max and above and below  # also of integers beyond every float
