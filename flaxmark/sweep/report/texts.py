"""Words of the report, read from templates/texts.LANGUAGE.toml."""

import dataclasses
import functools
import tomllib
from pathlib import Path
from typing import Literal

from flaxmark.schema import from_dict

Language = Literal["en", "zh"]
TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True)
class Texts:
    """Every text of the report; the names in braces are filled in."""

    lang: str
    title: str
    data: str
    summary: str
    summary_heads: tuple[str, str, str, str, str, str]
    summary_seed: str
    summary_nme: str
    summary_mean_face: str
    summary_and: str
    summary_run: str
    summary_failed: str
    summary_no_failure: str
    summary_waiting: str
    summary_data: str
    summary_trained: str
    summary_written: str
    contents: str
    sheet: str
    baseline: str
    task: str
    backbone: str
    loss: str
    epochs: str
    states: str
    unfinished: str
    losses: str
    what_original_means: str
    table_head: tuple[str, str, str, str, str]
    mean_face: str
    same_as_mse: str
    metrics: str
    metrics_note: str
    seeds: str
    seeds_note: str
    errors: str
    split_note: str
    ced: str
    points: str
    parts: str
    traits: str
    curves: str
    faces: str
    worst: str
    random: str
    no_faces: str
    jitter: str
    jitter_note: str
    sigma: str
    sigma_note: str
    cost: str
    cost_head: tuple[str, str, str, str, str]
    cost_note: str
    provenance: str
    configs: str
    shared_fields: str
    audit: str
    audit_drawn: str
    audit_missing: str
    audit_head: tuple[str, str, str]
    audit_kinds: tuple[str, str, str]
    audit_clean: str
    verdict: str
    verdict_fails: str
    compare: str
    compare_note: str
    close: str
    terms: str


@functools.cache
def load_texts(language: Language) -> Texts:
    """Texts in one language; the headings of the Chinese ones are those of the original test report."""
    file = TEMPLATES / f"texts.{language}.toml"
    texts: Texts = from_dict(tomllib.loads(file.read_text(encoding="utf-8")), Texts)
    return texts
