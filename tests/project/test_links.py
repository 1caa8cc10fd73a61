"""Documentation: every relative link leads somewhere, every file that a page names exists, and the README is short."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers.commands import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!\\)\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
NAMED = re.compile(
    r"(?<![\w./-])(?:flaxmark|tests|configs|benchmarks|scripts|docs)/[\w./-]+\.(?:py|md|json|safetensors)\b"
)


def links(text: str) -> list[str]:
    """Targets of all links and images that are no address on the web, outside of code blocks."""
    found = [match["target"] for match in LINK.finditer(FENCE.sub("", text))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Fragments of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(name for name in (slug, *(f"{slug}-{n}" for n in range(1, 100))) if name not in found))
    return found


def broken(page: Path, target: str) -> bool:
    """Whether a link on a page names a file that is missing, or a heading that its page does not have."""
    name, _, fragment = unquote(target).partition("#")
    file = page.parent / name if name else page
    if not file.exists():
        return True
    return bool(fragment) and fragment not in anchors(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [target for target in links(text) if broken(page, target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name in NAMED.findall(text) if not (ROOT / name).exists()] == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title, `code` and more\n\n## Twice\n\n## Twice\n\n```\n# no heading\n[no](link)\n```\n")
    text = "[a](page.md) ![b](gone.png) [c](#twice-1) [d](page.md#no-heading) [e](https://example.org) [f](../gone)"
    assert [target for target in links(text) if broken(page, target)] == ["gone.png", "page.md#no-heading", "../gone"]
    assert not broken(page, "#a-title-code-and-more")
    assert links(page.read_text()) == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 800
