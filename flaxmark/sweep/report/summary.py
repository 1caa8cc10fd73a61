"""The lines at the top of the report: what was run, the best cell, its error, and what is missing."""

import datetime
from collections.abc import Sequence

from flaxmark.sweep.report.cell_records import Record, best_records, main_split
from flaxmark.sweep.report.texts import Texts

DATA_SETS = {"ibug_300w": "ibug-300w", "dlib": "ibug-300w"}


def data_of(records: Sequence[Record]) -> str:
    """Data sets of the finished cells; a dash where none is."""
    names = {str(record.result["data"]) for record in records if record.result}
    return ", ".join(sorted({DATA_SETS.get(name, name) for name in names})) or "-"


def points_of(records: Sequence[Record]) -> str:
    """Number of points per face in the finished cells, for the text."""
    return ", ".join(sorted({str(record.markup.num_points) for record in records if record.result})) or "68"


def summary_of(records: Sequence[Record], texts: Texts, today: datetime.date) -> list[tuple[str, str]]:
    """Heads and texts: best cell, NME, run, failures, data, date; the first two only where a cell is finished."""
    finished = [record for record in records if record.result]
    best, nme, run, failures, data, date = texts.summary_heads
    lines = []
    if finished:
        winner = best_records(finished)[0]
        several = len({record.seed for record in finished}) > 1
        lines.append((best, winner.label + (texts.summary_seed.format(seed=winner.seed) if several else "")))
        lines.append((nme, _errors(winner, texts)))
    trained = sorted({str(record.result["date"]) for record in finished if record.result and "date" in record.result})
    dates = texts.summary_trained.format(first=trained[0], last=trained[-1]) if trained else ""
    return [
        *lines,
        (run, _run(records, texts)),
        (failures, _failures(records, texts)),
        (data, texts.summary_data.format(data=data_of(records), points=points_of(records))),
        (date, dates + texts.summary_written.format(date=today)),
    ]


def _errors(record: Record, texts: Texts) -> str:
    """NME of a cell and of the mean face, on validation and on the test split."""
    errors = []
    for split in dict.fromkeys(("validation", main_split([record]))):
        figures, constant = record.figures(split), record.figures(split, "mean face")
        if figures:
            known = texts.summary_nme.format(nme=f"{figures['nme']:.2f}", split=split, faces=f"{figures['faces']:,}")
            than = texts.summary_mean_face.format(nme=f"{constant['nme']:.2f}") if constant else ""
            errors.append(known + than)
    return texts.summary_and.join(errors) or "-"


def _run(records: Sequence[Record], texts: Texts) -> str:
    """Finished cells, and the grid that they are from."""
    finished = [record for record in records if record.result]
    return texts.summary_run.format(
        done=len(finished),
        all=len(records),
        networks=", ".join(dict.fromkeys(record.title for record in records)),
        losses=", ".join(dict.fromkeys(record.loss for record in sorted(records, key=lambda r: r.loss_index))),
        seeds=", ".join(str(seed) for seed in sorted({record.seed for record in records})),
        epochs=", ".join(sorted({str(record.config.train.epochs) for record in finished})) or "-",
    )


def _failures(records: Sequence[Record], texts: Texts) -> str:
    """Cells that failed, and the number of those that are not done."""
    failed = [record.name for record in records if record.state == "failed"]
    waiting = sum(record.state in ("started", "waiting") for record in records)
    text = (
        texts.summary_failed.format(count=len(failed), cells=", ".join(failed)) if failed else texts.summary_no_failure
    )
    return text + (texts.summary_waiting.format(count=waiting) if waiting else "")
