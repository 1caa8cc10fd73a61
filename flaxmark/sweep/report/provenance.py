"""Origin of the report's figures: data, versions, devices, commits and configs."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from flaxmark.config.config import Config
from flaxmark.schema import to_dict
from flaxmark.sweep.report.cell_records import Record
from flaxmark.sweep.report.document import Section, Table, Value
from flaxmark.sweep.report.texts import Texts


def provenance_section(finished: Sequence[Record], texts: Texts) -> Section:
    """Data, versions, device and commit of the finished cells, and how their configs differ from the defaults."""
    results = [record.result for record in finished if record.result]
    lines = []
    for name in ("data", "data_fingerprint", "device", "python", "versions", "commit"):
        values = sorted({_text(result.get(name)) for result in results})
        lines.append(f"{name}: " + "; ".join(f"`{value}`" for value in values))
    terms = "; ".join(sorted({result["terms"] for result in results}))
    defaults = plain_config(Config())
    rows = []
    for record in finished:
        config = plain_config(record.config)
        fields = ", ".join(f"{name}={value}" for name, value in changed_fields(config, defaults))
        rows.append([Value(record.name, record.name, record.name), Value(config_hash(config)), Value(fields)])
    table = Table(("", "hash", "config"), rows)
    return Section(texts.provenance, 2, [lines, texts.terms.format(terms=terms), f"{texts.configs}:", table])


def plain_config(config: Config) -> dict[str, Any]:
    """A config as it is read from JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(to_dict(config)))
    return plain


def config_hash(config: dict[str, Any]) -> str:
    """First 12 hexadecimal digits of the SHA-256 of a config's JSON with sorted keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def changed_fields(config: dict[str, Any], defaults: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of the fields that differ from the defaults."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from changed_fields(value, defaults.get(name, {}), f"{prefix}{name}.")
        elif name not in defaults or value != defaults[name]:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    """A string, or a dictionary of versions, for a list of facts."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)
