"""What tyro prints about arguments that it cannot use, as one ConfigError."""

import os
import re
from typing import Any

from flaxmark.cli.hints import hint
from flaxmark.errors import ConfigError

SEE_HELP = "--help shows all flags"
KINDS = {
    "INT": "a whole number", "FLOAT": "a number", "{INT INT}": "two whole numbers", "{[FLOAT [FLOAT ...]]}": "numbers",
}  # fmt: skip


def config_error(text: str, config: Any) -> ConfigError:
    """The error for tyro's framed text: the flag that it is about, its value, and what to do.

    The flags are the fields of the dataclass `config`.
    """
    lines = [line.strip("│ ") for line in text.splitlines() if not line.startswith(("╭", "╰"))]
    block = " ".join(re.split("─{3,}", "\n".join(lines))[0].split())
    complaint = block.split(" Got errors:")[0].strip().rstrip(".")
    if found := re.fullmatch(r"Unrecognized options: (.+)", complaint):
        return _unknown(found[1].split(", "), config)
    if found := re.fullmatch(r"invalid choice '(.*)' for argument '--(.+)'\. Expected one of \((.+?),?\)", complaint):
        choices = [choice.strip("'\"") for choice in found[3].split(", ")]
        if "None" in choices:  # tyro has mixed them up
            choices = sorted(choice for choice in choices if choice != "None")
        return ConfigError(f"must be one of {', '.join(choices)}", field=_field(found[2]), value=found[1])
    if found := re.fullmatch(r"Missing value for argument '--(.+)'\. Expected (\d+) values", complaint):
        count = "a value" if found[2] == "1" else f"{found[2]} values"
        return ConfigError(f"needs {count}; {SEE_HELP}", field=_field(found[1]))
    if found := re.fullmatch(r"Arguments --(.+) and (--.+) are not allowed together!", complaint):
        return ConfigError(f"cannot be used together with {found[2]}", field=_field(found[1]))
    if found := re.fullmatch(r"Error parsing --([^:]+): (.+)", complaint):
        return _unreadable(_field(found[1].split("/")[0]), found[2])
    return ConfigError(f"{complaint.removeprefix('Error parsing ')}; {SEE_HELP}")


def _unknown(words: list[str], config: Any) -> ConfigError:
    """An argument that no flag takes: a flag, a file that looks like one, or a word too many."""
    if files := [word for word in words if word.startswith("-") and os.path.exists(word)]:
        return ConfigError(f"{files[0]} is not a flag; is it the file ./{files[0]}?")
    flag = next((word.split("=")[0] for word in words if re.match("--?[A-Za-z]", word)), None)
    if flag is None:
        return ConfigError(f"{words[0]}: unexpected argument; {SEE_HELP}")
    reason = f"no such flag; {hint(flag, config) or SEE_HELP}"
    return ConfigError(reason, field=_field(flag)) if flag.startswith("--") else ConfigError(f"{flag}: {reason}")


def _unreadable(field: str, reason: str) -> ConfigError:
    """A value that a flag cannot take."""
    if found := re.fullmatch(r"no type matching (.+) could be instantiated from \[(.*)\]", reason):
        kinds = [KINDS.get(kind, kind) for kind in found[1].split("|") if kind != "{None}"]
        kinds += ["None"] if "{None}" in found[1] else []
        return ConfigError(f"must be {' or '.join(kinds)}", field=field, value=_words(found[2]))
    if found := re.fullmatch(r"(invalid literal for int|could not convert string to float).*: '(.*)'", reason):
        kind = "INT" if "int" in found[1] else "FLOAT"
        return ConfigError(f"must be {KINDS[kind]}", field=field, value=found[2])
    if found := re.fullmatch(r"Could not find valid parse for arguments: \[(.*)\]", reason):
        return ConfigError("cannot be read; --help shows what it takes", field=field, value=_words(found[1]))
    return ConfigError(reason, field=field)


def _words(listed: str) -> str:
    """The inside of a printed list of strings, as it was typed."""
    return " ".join(word.strip("'\"") for word in listed.split(", "))


def _field(flag: str) -> str:
    """A flag's name as a field: without its dashes, and with underscores."""
    return flag.removeprefix("--").replace("-", "_")
