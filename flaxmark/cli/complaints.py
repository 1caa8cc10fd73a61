"""What tyro prints about arguments that it cannot use, as one ConfigError."""

import os
import re

from flaxmark.errors import ConfigError

SEE_HELP = "--help shows all flags"
KINDS = {
    "INT": "a whole number", "FLOAT": "a number", "{INT INT}": "two whole numbers", "{[FLOAT [FLOAT ...]]}": "numbers",
}  # fmt: skip


def config_error(text: str) -> ConfigError:
    """The error for tyro's framed text: the flag that it is about, its value, and what to do."""
    lines = [line.strip("│ ") for line in text.splitlines() if not line.startswith(("╭", "╰"))]
    blocks = [" ".join(block.split()) for block in re.split("─{3,}", "\n".join(lines))]
    complaint = blocks[0].split(" Got errors:")[0].strip().rstrip(".")
    if found := re.fullmatch(r"Unrecognized options: (.+)", complaint):
        return _unknown(found[1].split(", "), blocks[1:])
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


def _unknown(words: list[str], blocks: list[str]) -> ConfigError:
    """An argument that no flag takes: a flag, a file that looks like one, or a word too many."""
    if files := [word for word in words if word.startswith("-") and os.path.exists(word)]:
        return ConfigError(f"{files[0]} is not a flag; is it the file ./{files[0]}?")
    guesses = [word for block in blocks if block.startswith("Perhaps") for word in block.split()]
    guess = next((word.rstrip(",") for word in guesses if word.startswith("--")), None)
    hint = f"did you mean {guess}?" if guess else SEE_HELP
    flag = next((word for word in words if word.startswith("--")), None)
    if flag is None:
        return ConfigError(f"{words[0]}: unexpected argument; {hint}")
    return ConfigError(f"no such flag; {hint}", field=_field(flag.split("=")[0]))


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
