"""Write the report of a sweep: report.md with img/, and report.html in one file.

A sweep that is not finished gives a report of the cells that are.

Example:
  flaxmark report runs/table --language zh --baseline others.json
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from flaxmark.cli.flags import OptionalFile, parse_flags
from flaxmark.errors import ConfigError
from flaxmark.sweep.report.texts import Language


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark report`."""

    folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(required)")] = ""
    """The --workdir of flaxmark sweep, or any folder with the results of its cells."""
    language: Language = "en"
    """Language of the report: English, or Chinese with the headings of the original report."""
    baseline: OptionalFile = None
    """JSON file with results of other systems, as rows of the metrics table."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Write both files."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "report")
    if not parsed.folder:
        raise ConfigError("a folder is missing: for example flaxmark report runs/table")
    from flaxmark.sweep.report.write import read_baselines, write_table_report

    baselines = read_baselines(parsed.baseline)
    paths = write_table_report(
        Path(parsed.folder), parsed.language, baselines, lambda step: print(f"{step} ..", file=sys.stderr)
    )
    print("wrote " + " and ".join(map(str, paths)))
