"""Hints at the flag that was meant, for one that does not exist."""

import dataclasses
import difflib
from collections.abc import Iterator
from typing import Any, get_type_hints

from tyro.conf import Positional

from flaxmark.faces.markup import Markup
from flaxmark.schema import Choice

MANY = 3  # flags in one hint
# What other programs call them.
OTHER_NAMES = {
    "lr": ("learning-rate",), "bs": ("batch-size",), "wd": ("weight-decay",), "output": ("out", "workdir"),
    "o": ("out", "workdir"), "c": ("config",), "net": ("model",),
    "network": ("model", "networks"), "backbone": ("model",), "dataset": ("data",),
    "checkpoint": ("workdir",), "weights": ("workdir",), "model": ("workdir",), "threshold": ("min-score",),
    "conf": ("min-score",), "input": ("inputs", "data.dir"), "run": ("workdir",),
    "split": ("faces",), "image": ("inputs",), "video": ("inputs",), "workdir": ("folder",),
}  # fmt: skip
ALIKE = 0.7  # from 0 to 1: `split` and `shift` have 0.6


def flags_of(config: Any, prefix: str = "") -> Iterator[str]:
    """Names of all flags for the fields of a dataclass, `train.batch-size`; switches also have `model.no-sigma`."""
    for name, value, below in _fields(config, prefix):
        if below is not None:
            yield from [f"{below}name"] if isinstance(value, Choice) else []
            yield from flags_of(value, below)
        elif name not in _without_flags(config):
            head, dot, leaf = name.rpartition(".")
            yield from [name, f"{head}{dot}no-{leaf}"] if isinstance(value, bool) else [name]


def _without_flags(config: Any) -> list[str]:
    """Fields that are given without a flag, such as the inputs of predict."""
    hints = get_type_hints(type(config), include_extras=True)
    return [name for name, kind in hints.items() if Positional in getattr(kind, "__metadata__", ())]


def families_of(config: Any, prefix: str = "") -> Iterator[tuple[str, type[Choice]]]:
    """Prefix of the flags of each family, `loss.`, and its chosen member."""
    for _, value, below in _fields(config, prefix):
        if below is not None:
            yield from [(below, type(value))] if isinstance(value, Choice) else []
            yield from families_of(value, below)


def hint(flag: str, config: Any) -> str | None:
    """What to give in place of a flag that a command does not have; `config` has all that it has."""
    word = flag.lstrip("-").lower().replace("_", "-")
    head, dot, leaf = word.rpartition(".")
    if dot and head.startswith("no-"):
        word = head.removeprefix("no-") + dot + "no-" + leaf
    words = [word, *(head + dot + other for other in OTHER_NAMES.get(leaf, ()))]
    flags = list(flags_of(config))
    if found := [name for name in _without_flags(config) if {name, name.removesuffix("s")} & set(words)]:
        return f"give the {found[0]} without a flag"
    sure = (_same(word, flags, dict(families_of(config))) for word in words)
    near = (_near(word, flags) for word in words)
    return next((found for found in (*sure, *near) if found), None)


def _same(word: str, flags: list[str], families: dict[str, type[Choice]]) -> str | None:
    """A flag that has the word as a part, a plural, or a value."""
    leaf = word.rpartition(".")[2]
    if found := [name for name in flags if name in (f"{word}s", f"{word}es")]:
        return _did_you_mean(found)
    for prefix, member in families.items():
        if _ends_with(prefix, f"{word}."):
            own = [f"--{prefix}{name.replace('_', '-')}" for name in vars(member).get("__annotations__", ())]
            more = f"; {member.name} has {', '.join(own[:MANY])}" if own else ""
            return f"did you mean --{prefix}name, one of {', '.join(member.members)}?{more}"
    if found := [name for name in flags if _ends_with(name, word)]:
        return _did_you_mean(found)
    for prefix, member in families.items():
        if leaf.replace("-", "_") in member.members:
            return f"did you mean --{prefix}name {leaf.replace('-', '_')}?"
        for name, other in member.members.items():
            if any(_ends_with(own, word) for own in _own_flags(other, prefix)):
                return f"it belongs to --{prefix}name {name}"
    if found := [name for name in flags if _ends_with(name, leaf) or name.startswith(f"{word}.")]:
        return _did_you_mean(found)
    return None


def _near(word: str, flags: list[str]) -> str | None:
    """A flag with nearly the same name, in whole or in its last part."""
    found = difflib.get_close_matches(word, flags, 1, ALIKE)
    leaves = [name.rpartition(".")[2] for name in flags]
    near = difflib.get_close_matches(word.rpartition(".")[2], leaves, 1, ALIKE)
    found = found or [name for name in flags if near and _ends_with(name, near[0])]
    return _did_you_mean(found) if found else None


def _fields(config: Any, prefix: str) -> Iterator[tuple[str, Any, str | None]]:
    """Flag and value of each field, and the prefix of the flags below it, if it has some."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name.replace("_", "-")
        nested = dataclasses.is_dataclass(value) and not isinstance(value, Markup)
        # The fields of a run's config are flags without a prefix.
        yield name, value, None if not nested else "" if name == "run" else f"{name}."


def _own_flags(member: type[Choice], prefix: str) -> list[str]:
    return [prefix + field.name.replace("_", "-") for field in dataclasses.fields(member)]  # type: ignore[arg-type]


def _ends_with(name: str, word: str) -> bool:
    """Whether a dotted name is a word, or ends with it after a dot."""
    return f".{name}".endswith(f".{word}")


def _did_you_mean(names: list[str]) -> str:
    shown = " or ".join(f"--{name}" for name in names[:MANY])
    return f"did you mean {shown}{', ..' if len(names) > MANY else ''}?"
