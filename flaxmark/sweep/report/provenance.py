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
    configs = [plain_config(record.config) for record in finished]
    fields = [[f"{name}={value}" for name, value in changed_fields(config, defaults)] for config in configs]
    shared = [field for field in fields[0] if len(finished) > 1 and all(field in own for own in fields)]
    rows = [
        [
            Value(record.name, record.name, record.name),
            Value(config_hash(config)),
            Value(", ".join(field for field in own if field not in shared)),
        ]
        for record, config, own in zip(finished, configs, fields, strict=True)
    ]
    table = Table((texts.cost_head[0], "hash", "config"), rows)
    common = [texts.shared_fields.format(fields=", ".join(shared))] if shared else []
    return Section(texts.provenance, 2, [lines, texts.terms.format(terms=terms), f"{texts.configs}:", *common, table])


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
