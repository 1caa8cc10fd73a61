"""Where the figures of a report come from."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from flaxmark.config.config import Config
from flaxmark.schema import to_dict
from flaxmark.sweep.report.document import Section, Table, Value
from flaxmark.sweep.report.records import Record
from flaxmark.sweep.report.texts import Texts


def provenance_sections(finished: Sequence[Record], defaults: Config, texts: Texts) -> list[Section]:
    """Data, versions, device and commit of the cells, and their configs.

    Args:
        finished: Cells.
        defaults: What configs are compared with.
        texts: In the report's language.

    Returns:
        One section.
    """
    results = [record.result for record in finished if record.result]
    lines = []
    for name in ("data", "data_fingerprint", "device", "python", "versions", "commit"):
        values = sorted({_text(result.get(name)) for result in results})
        lines.append(f"{name}: " + "; ".join(f"`{value}`" for value in values))
    terms = "; ".join(sorted({result["terms"] for result in results}))
    plain = json.loads(json.dumps(to_dict(defaults)))
    rows = []
    for record in finished:
        assert record.result is not None
        config = record.result["config"]
        fields = ", ".join(f"{name}={value}" for name, value in changed_fields(config, plain))
        rows.append([Value(record.name, record.name, record.name), Value(config_hash(config)), Value(fields)])
    table = Table(("", "hash", "config"), rows)
    return [Section(texts.provenance, 2, [lines, texts.terms.format(terms=terms), f"{texts.configs}:", table])]


def config_hash(config: dict[str, Any]) -> str:
    """Name a config by its content.

    Args:
        config: As `to_dict` makes it.

    Returns:
        12 hexadecimal digits of the SHA-256 of its JSON with sorted keys.
    """
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def changed_fields(config: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a config that are not at their defaults.

    Args:
        config: As `to_dict` makes it.
        defaults: Likewise.
        prefix: Of the names.

    Yields:
        Dotted name and value.
    """
    for name, value in config.items():
        if isinstance(value, dict):
            yield from changed_fields(value, defaults.get(name, {}), f"{prefix}{name}.")
        elif value != defaults.get(name):
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)
