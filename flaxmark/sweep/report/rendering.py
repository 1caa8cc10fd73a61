"""Rendering of the report from templates: Markdown, and one self-contained HTML page."""

import base64
import html
import math
import re
import urllib.parse
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from flaxmark.sweep.report.document import Figure, Formula, Table, Value
from flaxmark.sweep.report.texts import TEMPLATES
from flaxmark.system.files import write_text

ICON = "data:image/svg+xml," + urllib.parse.quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#0072B2"/>'
    '<path d="M3 4v9h10M5 10l3-3 2 2 3-4" fill="none" stroke="#fff" stroke-width="1.5"/></svg>'
)
IMAGE_TYPES = {".png": "png", ".jpg": "jpeg", ".webp": "webp"}


def render(page: dict[str, Any], cells: dict[str, str], folder: Path, stem: str) -> list[Path]:
    """Write STEM.md and STEM.html; returns both paths.

    `page` has the `title`, `summary`, `intro`, `sections` and `texts`, and `cells` the file in img/ with each cell's
    faces.
    """
    common = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    tests = {"table": Table, "figure": Figure, "formula": Formula}
    paths = []
    for ending, escape in (("md", False), ("html", True)):
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=escape, **common)  # type: ignore[arg-type]
        for name, kind in tests.items():
            environment.tests[name] = lambda block, kind=kind: isinstance(block, kind)
        environment.filters |= {"inline": inline, "breakable": breakable, "sort_key": sort_key}
        text = environment.get_template(f"report.{ending}.j2").render(
            **page,
            cells={name: data_url(folder / "img" / file) for name, file in cells.items()} if escape else cells,
            images=_Images(folder / "img"),
            style=_asset("report.css"),
            script=_asset("report.js"),
            icon=ICON,
        )
        paths.append(folder / f"{stem}.{ending}")
        write_text(paths[-1], re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")
    return paths


class _Images(dict[str, str]):
    """Files of img/ as data URLs, read on access."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> str:
        return data_url(self._folder / name)


def _asset(name: str) -> Any:
    """Style sheet or script, inserted unescaped."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def inline(text: str) -> Any:
    """Markdown's code and bold as HTML; everything else is escaped."""
    escaped = html.escape(text)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped))


def breakable(text: str) -> Any:
    """Escaped text of a table cell, whose long names may be broken between their parts."""
    return Markup(re.sub("([_/=])", r"\1<wbr>", html.escape(text)))


def sort_key(value: Value) -> str:
    """Sort key of a table cell for the page's script."""
    if isinstance(value.sort, float) and not math.isfinite(value.sort):
        return "1e99"
    return str(value.sort)


def data_url(path: Path) -> str:
    """An image file as a data URL."""
    return f"data:image/{IMAGE_TYPES[path.suffix]};base64," + base64.b64encode(path.read_bytes()).decode()
