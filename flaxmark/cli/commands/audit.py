"""Look for errors in a data set before training on it.

Counts, unreadable and odd images, odd points and boxes, mirrored annotations, duplicates. The exit status is 2 where
training and test share a photograph.

Example:
  flaxmark audit --data.name dlib --data.dir FOLDER --out audit
"""

import collections
import dataclasses
import sys

from flaxmark.cli.flags import parse_flags
from flaxmark.data.config import DataConfig, check_data
from flaxmark.data.data_sets import find_data_set
from flaxmark.errors import ConfigError, DataError
from flaxmark.schema import require
from flaxmark.system.files import new_folder


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark audit`."""

    data: DataConfig = DataConfig()
    out: str = "audit"
    """Folder for audit.json, faces.png and a sheet of each subset."""
    show: int = 5
    """Number of findings of each kind to print; all are in audit.json."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Print a summary and write the details."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "audit")
    check_data(parsed.data)
    require(parsed.show >= 0, "show", parsed.show, "must be at least 0")
    if not find_data_set(parsed.data.name).in_folder:
        raise ConfigError(
            "has no files to check; name a data set in a folder", field="data.name", value=parsed.data.name
        )
    from flaxmark.data.entries import HELD_OUT
    from flaxmark.data.prepare.sources import find_data_dir
    from flaxmark.data.readers.arrangement import reference_face
    from flaxmark.evaluation.audit.audit import audit, write_audit
    from flaxmark.system.progress import Progress

    root, out = find_data_dir(parsed.data), new_folder("out", parsed.out)
    result = audit(parsed.data, root, lambda total: Progress(total, 0, 1))
    for name, (count, expected) in result.found.items():
        print(f"{name:<16} {count:>6,} faces" + (f" of {expected:,}" if expected else ""))
    print("splits           " + ", ".join(f"{split} {count:,}" for split, count in result.splits.items()))
    if reference_face(parsed.data.markup) is None:
        print(f"order of points  not checked: {parsed.data.markup.name} is not one of flaxmark's landmark schemes")
    kinds = collections.Counter(finding.kind for finding in result.findings)
    for kind, count in kinds.most_common():
        print(f"\n{kind}: {count:,}")
        for finding in [f for f in result.findings if f.kind == kind][: parsed.show]:
            print(f"  {finding.file}: {finding.detail}")
    paths = write_audit(result, root, parsed.data, out)
    print("\nwrote " + ", ".join(map(str, paths)), file=sys.stderr)
    if result.shares_photographs:
        raise DataError(f"{HELD_OUT}: {kinds[HELD_OUT]}; remove them from training, or results on it mean nothing")
