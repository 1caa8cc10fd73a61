"""Write the report of a sweep: flaxmark report runs/table [--language zh] [--baseline others.json].

report.md with img/, and report.html, one file for everything; of a sweep that is not finished, what there is.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from flaxmark.cli.flags import parse_flags
from flaxmark.errors import ConfigError
from flaxmark.sweep.report.texts import Language


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Whose report, and how."""

    folder: Annotated[str, tyro.conf.Positional] = ""
    """The --workdir of flaxmark sweep, or any folder with its cells' results."""
    language: Language = "en"
    """Of the texts: English, or Chinese with the headings of the original report."""
    baseline: str | None = None
    """JSON with figures of other systems, rows of the metrics table."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Write both files."""
    parsed = parse_flags(Arguments, arguments, __doc__ or "", Arguments())
    if not parsed.folder:
        raise ConfigError("a folder is missing: for example flaxmark report runs/table")
    from flaxmark.sweep.report.write import read_baselines, write_table_report

    baselines = read_baselines(parsed.baseline)
    paths = write_table_report(
        Path(parsed.folder), parsed.language, baselines, lambda step: print(f"{step} ..", file=sys.stderr)
    )
    print("wrote " + " and ".join(map(str, paths)))
