"""What pyproject.toml cannot say about the package: its folders, and the long description.

- configs/ becomes the package flaxmark.configs.
- The long description is README.md with absolute links, as package indexes have neither its images nor its pages.
  FLAXMARK_REPOSITORY names the repository's web address (https://github.com/OWNER/flaxmark); without it images are left
  out.
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)]+)\)")


def long_description(readme: str, repository: str) -> str:
    """A Markdown text whose relative links lead to a repository; without one, images go and links become text."""

    def absolute(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        if not repository:
            return "" if image else text
        return f"{image}[{text}]({repository}/{'raw' if image else 'blob'}/main/{target})"

    return LINK.sub(absolute, readme)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(
        packages=[*find_packages(include=["flaxmark*"]), "flaxmark.configs"],
        package_dir={"flaxmark.configs": "configs"},
        long_description=long_description(readme, os.environ.get("FLAXMARK_REPOSITORY", "").rstrip("/")),
        long_description_content_type="text/markdown",
    )
