"""The report's page: readable on a phone, by a screen reader, on paper and without a network."""

import html.parser
import re
from pathlib import Path

import numpy as np
from helpers.commands import ROOT
from helpers.sweep_results import write_half_a_sweep
from PIL import Image

from flaxmark.data.drawn import draw_face
from flaxmark.sweep.report.texts import TEMPLATES
from flaxmark.sweep.report.write import write_table_report


class Page(html.parser.HTMLParser):
    """What a page is made of: its tags with the attributes of themselves and of those around them."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.tags: list[tuple[str, dict, list[tuple[str, dict]]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs), list(self.open)))
        if tag not in self.VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop()[0] != tag:
            pass

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes, _ in self.tags if name == tag]


def rule(css: str, selector: str) -> str:
    """Declarations of a selector outside media queries."""
    found = re.search(rf"^{re.escape(selector)} {{(.*)}}$", css, re.M)
    assert found, selector
    return found[1]


def test_the_page_is_not_wider_than_a_phone_and_can_be_used_without_a_mouse(tmp_path: Path) -> None:
    sweep = write_half_a_sweep(tmp_path / "table")
    Image.fromarray(np.tile(draw_face(7, 224)[0], (4, 6, 1))).save(sweep / "resnet18_mse_seed0" / "test.png")
    text = write_table_report(sweep, "en", (), lambda _: None)[1].read_text()
    page = Page(text)
    css = (TEMPLATES / "report.css").read_text()
    # Long words, such as a fingerprint of 64 letters, are broken; tables scroll in boxes of their own.
    assert "f" * 64 in text
    assert "overflow-wrap: anywhere" in rule(css, "body")
    assert "overflow-x: auto" in rule(css, ".scroll")
    assert "max-width: 100%" in rule(css, "figure > img")
    tables = [around for tag, _, around in page.tags if tag == "table"]
    assert len(tables) > 5
    for around in tables:
        box = around[-1][1]
        assert (box["class"], box["tabindex"], box["role"]) == ("scroll", "0", "region")
        assert box["aria-label"]
    nowrap = [line.partition("{")[0].strip() for line in css.splitlines() if "nowrap" in line]
    assert nowrap == ["th, td"]  # inside those boxes only
    assert any("width=device-width" in tag.get("content", "") for tag in page.all("meta"))
    # The summary is above the first heading of a section, and links lead to all sections.
    assert text.index('<dl class="summary"') < text.index("<nav") < text.index("<h2")
    ids = {attributes["id"] for attributes in page.all("h2") if "id" in attributes}
    assert ids == {attributes["href"].removeprefix("#") for attributes in page.all("a")}
    for image in page.all("img"):
        assert image.get("alt") or image.get("data-pattern"), image  # the latter becomes the text of the chosen cell
    assert all(attributes.get("scope") == "col" for attributes in page.all("th"))
    assert '><button type="button"></button>' not in text  # each head has a name
    assert page.all("link")[0]["href"].startswith("data:image/svg+xml,")
    assert page.all("html") == [{"lang": "en"}]
    assert "@media print" in css
    assert "prefers-color-scheme: dark" in css


def test_pages_in_the_repository_are_of_this_kind() -> None:
    for path in (Path("docs/sample/report.html"), Path("docs/table/report.html")):
        text = (ROOT / path).read_text()
        assert (TEMPLATES / "report.css").read_text() in text, path
        assert '<dl class="summary"' in text, path
