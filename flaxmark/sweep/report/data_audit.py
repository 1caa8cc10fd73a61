"""Section of the report with the audit of the training data, where the data set is available."""

import io
from collections import Counter
from collections.abc import Callable

from flaxmark.data.data_sets import find_data_set
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.errors import FlaxmarkError
from flaxmark.evaluation.audit.audit import audit
from flaxmark.sweep.report.cell_records import Record
from flaxmark.sweep.report.document import Section, Table, Value
from flaxmark.sweep.report.texts import Texts
from flaxmark.system.progress import Progress


def audit_section(record: Record, texts: Texts, say: Callable[[str], None]) -> Section:
    """Counts and findings of the audit of a cell's data set, or a line that says why there are none.

    All cells of a sweep are trained on the same data.
    """
    config = record.config.data
    if not find_data_set(config.name).in_folder:
        return Section(texts.audit, 2, [texts.audit_drawn])
    try:
        root = find_data_dir(config)
        say(f"audit of {root}")
        found = audit(config, root, lambda total: Progress(total, 0, 1, io.StringIO()))
    except FlaxmarkError as error:
        return Section(texts.audit, 2, [texts.audit_missing.format(reason=str(error).splitlines()[0])])
    counts = [
        [Value(name), Value(f"{count:,}", count), Value("-" if expected is None else f"{expected:,}", expected or 0)]
        for name, (count, expected) in found.found.items()
    ]
    first = {finding.kind: finding for finding in reversed(found.findings)}
    kinds = [
        [Value(kind), Value(f"{count:,}", count), Value(f"{first[kind].file}: {first[kind].detail}")]
        for kind, count in Counter(finding.kind for finding in found.findings).most_common()
    ]
    findings = Table(texts.audit_kinds, kinds) if kinds else texts.audit_clean
    return Section(texts.audit, 2, [Table(texts.audit_head, counts), findings])
