"""Assembly of a sweep's report, written as Markdown and as one self-contained HTML page."""

import datetime
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flaxmark.errors import ConfigError, FlaxmarkError
from flaxmark.sweep.report import comparison_plots as plots
from flaxmark.sweep.report import result_tables as tables
from flaxmark.sweep.report.best_cell import JITTER_LEVELS, draw_sheets, jitter_errors, load_faces
from flaxmark.sweep.report.cell_records import Record, best_records, main_split, read_records, validation_nme
from flaxmark.sweep.report.data_audit import audit_section
from flaxmark.sweep.report.document import Figure, Section
from flaxmark.sweep.report.provenance import provenance_section
from flaxmark.sweep.report.rendering import render
from flaxmark.sweep.report.small_images import save_sheet
from flaxmark.sweep.report.summary import data_of, points_of, summary_of
from flaxmark.sweep.report.texts import Language, Texts, load_texts
from flaxmark.system.files import new_folder

Say = Callable[[str], None]


def write_table_report(folder: Path, language: Language, baselines: Sequence[dict[str, Any]], say: Say) -> list[Path]:
    """Write report.md, report.html (in Chinese report_zh.md, report_zh.html) and img/ into a sweep's folder.

    Plots are labelled in English. `baselines` are other systems with a `name` and, by split, their figures; `say` gets
    a line for each slow step. Returns the Markdown and the HTML file. Raises as `read_records` does.
    """
    records, texts = read_records(folder), load_texts(language)
    images = new_folder("folder", folder / "img")
    finished = [record for record in records if record.result]
    cells = copy_sheets(finished, images)
    sections = _head_sections(records, set(cells.values()), baselines, texts)
    if finished:
        sections += _figure_sections(records, images, texts, say)
    for number, section in enumerate((section for section in sections if section.level == 2), start=1):
        section.title = f"{number} {section.title}"
    stem = "report" if language == "en" else f"report_{language}"
    page = {
        "title": title_of(finished, texts),
        "summary": summary_of(records, texts, datetime.date.today()),
        "intro": [texts.data.format(data=data_of(records), points=points_of(records))],
        "sections": sections,
        "texts": texts,
    }
    return render(page, cells, folder, stem)


def copy_sheets(records: Sequence[Record], images: Path) -> dict[str, str]:
    """Copy the sheets of test faces of finished cells, reduced, to img/; returns each cell's file there."""
    copied = {}
    for record in records:
        source = record.folder / "test.png"
        if source.is_file():
            copied[record.name] = tables.sheet_name(record)
            save_sheet(source, images / copied[record.name])
    return copied


def title_of(finished: Sequence[Record], texts: Texts) -> str:
    """Title of the report, with the size of the network's input where all cells share one."""
    sizes = {record.config.data.image_size for record in finished}
    return texts.title.format(size=f" ({sizes.pop()} px)" if len(sizes) == 1 else "")


def _head_sections(
    records: Sequence[Record], images: set[str], baselines: Sequence[dict[str, Any]], texts: Texts
) -> list[Section]:
    """Sections with the tables of the original report, the metrics and the seeds."""
    losses = Section(texts.losses, 3, [texts.what_original_means])
    for loss in dict.fromkeys(record.loss for record in sorted(records, key=lambda record: record.loss_index)):
        losses.blocks += tables.loss_blocks([record for record in records if record.loss == loss], images, texts)
    sections = [_state_section(records, texts), losses]
    if any(record.result for record in records):
        losses.blocks.append(tables.verdict(records, texts))
        metrics = tables.metrics_table(records, baselines, texts)
        sections.append(Section(texts.metrics, 2, [texts.metrics_note.format(points=points_of(records)), metrics]))
        if seeds := tables.seeds_table(records, texts):
            sections.append(Section(texts.seeds, 2, [texts.seeds_note.format(split=main_split(records)), seeds]))
    return sections


def _state_section(records: Sequence[Record], texts: Texts) -> Section:
    """Networks, losses and epochs of the sweep, and the cells that are not finished."""
    titles = list(dict.fromkeys(record.title for record in records))
    families = dict.fromkeys(title.partition("-")[0] for title in titles)  # ResNet of ResNet-18
    done = [record for record in records if record.result]
    unfinished = [record for record in records if not record.result]
    counts = {state: sum(r.state == state for r in unfinished) for state in ("failed", "started", "waiting")}
    rest = "".join(f", {count} {state}" for state, count in counts.items() if count)
    facts = [
        texts.task,
        texts.backbone.format(networks=", ".join(titles), points=points_of(records)),
        texts.loss.format(losses=", ".join(dict.fromkeys(record.loss for record in records))),
        texts.epochs.format(epochs=", ".join(sorted({str(record.config.train.epochs) for record in done}))),
    ]
    states = texts.states.format(done=len(done), all=len(records), rest=rest)
    section = Section(texts.baseline.format(networks=", ".join(families)), 2, [facts, states])
    if unfinished:
        notes = [f"`{r.name}`: {r.state}" + (f" ({r.note})" if r.note else "") for r in unfinished]
        section.blocks += [f"{texts.unfinished}:", notes]
    return section


def _figure_sections(records: Sequence[Record], images: Path, texts: Texts, say: Say) -> list[Section]:
    """Sections with plots, faces, costs and provenance of the finished cells."""
    split, finished = main_split(records), [record for record in records if record.result]
    # The first of several seeds.
    firsts = list({(r.network, r.loss): r for r in reversed(finished)}.values())[::-1]
    best = best_records(finished)
    say("plots")
    plots.plot_ced(firsts, split, images / "ced.png")
    plots.plot_points(best[0], split, images / "points.png")
    if parts := best[0].markup.parts:
        plots.plot_parts(best, split, images / "parts.png")
    plots.plot_traits(best, split, images / "traits.png")
    plots.plot_histories(firsts, images / "curves.png")
    plots.plot_costs(firsts, split, images / "cost.png")
    count = len(plots.faces_of(best[0], split)["nme"])
    errors: list[Any] = [
        texts.split_note.format(split=split, faces=count),
        Figure("ced.png", texts.ced),
        Figure("points.png", texts.points.format(cell=best[0].label)),
        *([Figure("parts.png", texts.parts)] if parts else []),
        Figure("traits.png", texts.traits),
    ]
    cost = Figure("cost.png", texts.cost)
    return [
        Section(texts.errors, 2, errors),
        *_sigma_sections(finished, split, images, texts),
        Section(texts.curves, 2, [Figure("curves.png", texts.curves)]),
        *_face_sections(best[0], split, images, texts, say),
        Section(texts.cost, 2, [texts.cost_note, tables.cost_table(finished, texts), cost]),
        provenance_section(finished, texts),
        audit_section(best[0], texts, say),
    ]


def _sigma_sections(finished: Sequence[Record], split: str, images: Path, texts: Texts) -> list[Section]:
    """Calibration of the predicted errors of the best cell that has them."""
    with_sigma = [r for r in finished if r.result and "coverage" in r.result["splits"][split]]
    if not with_sigma:
        return []
    best = min(with_sigma, key=validation_nme)
    assert best.result is not None
    held = best.result["splits"][split]["coverage"]
    wanted = [held["share"].index(share) for share in (0.68, 0.95)]
    shown = {name: " / ".join(f"{100 * held[name][i]:.1f} %" for i in wanted) for name in ("plain", "scaled")}
    note = texts.sigma_note.format(**shown, scale=f"{held['scale']:.2f}")
    title = texts.sigma.format(cell=best.label)
    plots.plot_coverage(best, split, images / "coverage.png")
    return [Section(title, 3, [note, Figure("coverage.png", title)])]


def _face_sections(best: Record, split: str, images: Path, texts: Texts, say: Say) -> list[Section]:
    """Faces of the best cell and its error with inexact boxes, or the reason why they are not available."""
    faces = Section(texts.faces.format(cell=best.label))
    jitter = Section(texts.jitter)
    try:
        say(f"faces of {best.name}")
        examples = load_faces(best, split)
        worst, random = draw_sheets(best, split, examples, images)
        faces.blocks += [Figure(worst, texts.worst), Figure(random, texts.random)]
    except FlaxmarkError as error:
        reason = texts.no_faces.format(reason=str(error).splitlines()[0])
        faces.blocks.append(reason)
        jitter.blocks.append(reason)
        return [faces, jitter]
    try:
        say(f"error of {best.name} with inexact boxes")
        title = f"{best.label}, {split}"
        plots.plot_jitter(JITTER_LEVELS, jitter_errors(best, examples), title, images / "jitter.png")
        jitter.blocks.append(Figure("jitter.png", texts.jitter_note.format(cell=best.label)))
    except FlaxmarkError as error:
        jitter.blocks.append(texts.no_faces.format(reason=str(error).splitlines()[0]))
    return [faces, jitter]


def read_baselines(path: str | None) -> list[dict[str, Any]]:
    """Figures of other systems from a JSON file; none without a file, ConfigError where it cannot be used.

    It is a list of objects with a name and, by split, NME, FR@8 and AUC@8 in percent:
    `[{"name": "dlib", "validation": {"nme": 5.1, "fr_8": 9.0, "auc_8": 40.2}}]`.
    """
    if path is None:
        return []
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
        systems = [
            {"name": str(system["name"])}
            | {
                split: {key: float(figures[key]) for key in ("nme", "fr_8", "auc_8") if figures.get(key) is not None}
                for split, figures in system.items()
                if split != "name"
            }
            for system in read
        ]
    except FileNotFoundError as error:
        raise ConfigError("no such file", field="baseline", value=path) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        example = '[{"name": "dlib", "validation": {"nme": 5.1, "fr_8": 9.0, "auc_8": 40.2}}]'
        raise ConfigError(f"{error!r}; it must be a list such as {example}", field="baseline", value=path) from error
    return systems
