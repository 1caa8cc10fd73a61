"""Compare several systems on the same faces and boxes.

Example:
  flaxmark compare --data.dir FOLDER --systems flaxmark:runs/x dlib json:predictions.json --out compared
"""

import dataclasses
import json
import platform
import sys
from datetime import date
from typing import Annotated

import tyro

from flaxmark.cli.flags import parse_flags, require_flags
from flaxmark.data.config import DataConfig, check_data
from flaxmark.data.data_sets import find_data_set
from flaxmark.errors import ConfigError, DataError
from flaxmark.schema import require
from flaxmark.system.files import new_folder


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark compare`."""

    data: DataConfig = DataConfig()
    systems: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ..", help_behavior_hint="(required)")] = ()
    """Systems: flaxmark or flaxmark:WORKDIR (flaxmark+flip averages with the mirror image), dlib, mesh, json:FILE."""
    split: Annotated[str | None, tyro.conf.DisallowNone, tyro.conf.arg(help_behavior_hint="")] = None
    """Split to compare on; default: validation where it has faces, else test, else train."""
    out: str = "compared"
    """Folder for compare.md, compare.json and ced.png."""
    timing_faces: int = 50
    """Number of faces to time, each system in turn."""
    overwrite: bool = False
    """Replace an earlier comparison in --out."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Compare, print the table and write it."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "compare")
    require_flags(parsed, systems="flaxmark:runs/x")
    check_data(parsed.data)
    require(parsed.timing_faces >= 0, "timing_faces", parsed.timing_faces, "must be at least 0")
    if not find_data_set(parsed.data.name).in_folder or parsed.data.markup.num_points != 68:
        reason = "only faces with 68 points in files are compared; choose another --data.name or --data.markup"
        raise ConfigError(reason)
    from flaxmark.data.entries import name_problems
    from flaxmark.data.prepare.sources import find_data_dir
    from flaxmark.data.readers.listing import read_listing
    from flaxmark.evaluation.plots import plot_systems
    from flaxmark.system.files import write_text
    from flaxmark.tools.compare import choose_split, compare, format_comparison, to_json
    from flaxmark.tools.compared_systems import make_system

    root, out = find_data_dir(parsed.data), new_folder("out", parsed.out)
    if (out / "compare.json").exists() and not parsed.overwrite:
        raise ConfigError("holds a comparison; give another name or --overwrite", field="out", value=out)
    systems = {text: make_system(text) for text in parsed.systems}
    listing = read_listing(parsed.data, root)
    name_problems(listing.problems)
    split, entries = choose_split(listing.entries, parsed.split, root)
    results, kept, unreadable = compare(systems, entries, root, parsed.data.max_megapixels, parsed.timing_faces)
    if not kept:
        raise DataError(f"no face of {split} can be read; the first: {unreadable[0]}", field="data.dir", value=root)
    table = format_comparison(results)
    machine = platform.processor() or platform.machine()
    head = f"{len(kept)} of {len(entries)} {split} faces of {parsed.data.name}, {date.today()}, {machine}"
    print(f"{head}\n\n{table}")
    for line in unreadable:
        print(f"left out: {line}", file=sys.stderr)
    for name, result in results.items():
        if result.missing:
            print(f"{name} has no points of {len(result.missing)} faces, first {result.missing[0]}", file=sys.stderr)
    write_text(out / "compare.md", f"{head}\n\n{table}\n")
    write_text(out / "compare.json", json.dumps(to_json(results, kept)) + "\n")
    plot_systems({name: result.errors for name, result in results.items()}, head, out / "ced.png")
    print(f"wrote {out / 'compare.md'}, {out / 'compare.json'}, {out / 'ced.png'}", file=sys.stderr)
