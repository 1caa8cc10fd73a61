"""The report's two forms, filled in from templates: Markdown, and one HTML page with everything in it."""

import base64
import html
import math
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from flaxmark.sweep.report.document import Figure, Formula, Table, Value
from flaxmark.system.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def render(page: dict[str, Any], cells: dict[str, str], folder: Path, stem: str) -> list[Path]:
    """Fill in both templates.

    Args:
        page: `title`, `intro`, `sections` and `texts`.
        cells: Name of a cell -> its file in img/.
        folder: Gets the files.
        stem: Of their names.

    Returns:
        The Markdown and the HTML file.
    """
    common = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    tests = {"table": Table, "image": Figure, "formula": Formula}
    paths = []
    for ending, escape in (("md", False), ("html", True)):
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=escape, **common)  # type: ignore[arg-type]
        for name, kind in tests.items():
            environment.tests[name] = lambda block, kind=kind: isinstance(block, kind)
        environment.filters |= {"inline": inline, "sort_key": sort_key}
        text = environment.get_template(f"report.{ending}.j2").render(
            **page,
            cells={name: data_url(folder / "img" / file) for name, file in cells.items()} if escape else cells,
            images=_Images(folder / "img"),
            style=_asset("report.css"),
            script=_asset("report.js"),
        )
        paths.append(folder / f"{stem}.{ending}")
        write_text(paths[-1], re.sub(r"\n{3,}", "\n\n", text).strip() + "\n")
    return paths


class _Images(dict[str, str]):
    """Name of a file in img/ -> its content as a data URL, read when asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> str:
        return data_url(self._folder / name)


def _asset(name: str) -> Any:
    """A file of ours that goes into the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def inline(text: str) -> Any:
    """Markdown's code and bold as HTML, everything else escaped."""
    escaped = html.escape(text)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped))


def sort_key(value: Value) -> str:
    """What the page sorts a row by."""
    if isinstance(value.sort, float) and not math.isfinite(value.sort):
        return "1e99"
    return str(value.sort)


def data_url(path: Path) -> str:
    """A image as part of the page."""
    kind = {".png": "png", ".jpg": "jpeg"}[path.suffix]
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()
