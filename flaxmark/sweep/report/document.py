"""Parts of the report as data, the same for Markdown and HTML: sections of paragraphs, lists, tables and images."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Value:
    """Table cell: its text, its sort key, and the cell of the grid whose faces it opens."""

    text: str
    sort: float | str = ""
    opens: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Column heads and rows."""

    head: Sequence[str]
    rows: list[list[Value]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """Image file in img/ and its caption."""

    file: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Formula:
    """Loss of one coordinate, as TeX for Markdown and as text for the page."""

    tex: str
    text: str


@dataclasses.dataclass
class Section:
    """Heading and the blocks below it."""

    title: str
    level: int = 2
    blocks: list[str | list[str] | Table | Figure | Formula] = dataclasses.field(default_factory=list)
