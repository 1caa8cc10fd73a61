"""Assemble the report of a sweep and write it as Markdown and as one self-contained page."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from flaxmark.config.config import Config
from flaxmark.errors import ConfigError
from flaxmark.sweep.report import comparison_plots as plots
from flaxmark.sweep.report import document
from flaxmark.sweep.report.best_faces import JITTER_LEVELS, draw_sheets, jitter_errors, load_faces
from flaxmark.sweep.report.data_audit import audit_section
from flaxmark.sweep.report.document import Figure, Section
from flaxmark.sweep.report.page import render
from flaxmark.sweep.report.provenance import provenance_sections
from flaxmark.sweep.report.records import Record, best_records, main_split, read_records, validation_nme
from flaxmark.sweep.report.texts import FORMULAS, TEXTS, Language, Texts
from flaxmark.system.files import new_folder

SHEET_WIDTH, JPEG_QUALITY = 1100, 82
Say = Callable[[str], None]


def write_table_report(folder: Path, language: Language, baselines: Sequence[dict[str, Any]], say: Say) -> list[Path]:
    """Write report.md, report.html and img/ into a sweep's folder; in Chinese report_zh.md and report_zh.html.

    Args:
        folder: Of the sweep.
        language: Of the texts; plots are labelled in English.
        baselines: Other systems: `name` and, for a split, its figures.
        say: Gets a line for each step that takes a while.

    Returns:
        The Markdown and the HTML file.

    Raises:
        ConfigError: No cells, or a result that cannot be read.
    """
    records, texts = read_records(folder), TEXTS[language]
    images = new_folder("the report's images", folder / "img")
    finished = [record for record in records if record.result]
    cells = copy_sheets(finished, images)
    sections = _head_sections(records, set(cells.values()), baselines, texts)
    if finished:
        sections += _figure_sections(records, images, texts, say)
    for number, section in enumerate((section for section in sections if section.level == 2), start=1):
        section.title = f"{number} {section.title}"
    stem = "report" if language == "en" else f"report_{language}"
    page = {"title": title_of(finished, texts), "intro": intro_of(records, texts), "sections": sections, "texts": texts}
    return render(page, cells, folder, stem)


def copy_sheets(records: Sequence[Record], images: Path) -> dict[str, str]:
    """Make the test images of the cells small enough for a page.

    Args:
        records: Finished cells; those whose image is not here are left out.
        images: The report's img/.

    Returns:
        Name of a cell -> file in img/.
    """
    copied = {}
    for record in records:
        source = record.folder / "test.png"
        if source.is_file():
            name = document.image_name(record)
            with Image.open(source) as image:
                height = round(image.height * SHEET_WIDTH / image.width)
                small = image.convert("RGB").resize((SHEET_WIDTH, height), Image.Resampling.LANCZOS)
            small.save(images / name, quality=JPEG_QUALITY)
            copied[record.name] = name
    return copied


def title_of(finished: Sequence[Record], texts: Texts) -> str:
    """The title, with the size of the network's input where the cells share one."""
    sizes = {record.result["config"]["data"]["image_size"] for record in finished if record.result}
    return texts.title.format(size=f" ({sizes.pop()} px)" if len(sizes) == 1 else "")


def intro_of(records: Sequence[Record], texts: Texts) -> list[str]:
    """The lines below the title, as in the test report."""
    results = [record.result for record in records if record.result]
    names = {"ibug_300w": "ibug-300w", "dlib": "ibug-300w"}
    data = ", ".join(sorted({names.get(result["data"], result["data"]) for result in results})) or "-"
    return [texts.data.format(data=data, points=points_of(records))]


def points_of(records: Sequence[Record]) -> str:
    """How many points the faces of the finished cells have."""
    return ", ".join(sorted({str(record.markup.num_points) for record in records if record.result})) or "68"


def _head_sections(
    records: Sequence[Record], images: set[str], baselines: Sequence[dict[str, Any]], texts: Texts
) -> list[Section]:
    """The tables of the test report, the metrics and the seeds."""
    results = [record.result for record in records if record.result]
    depths = ", ".join(str(depth) for depth in sorted({record.depth for record in records}))
    epochs = sorted({str(result["config"]["train"]["epochs"]) for result in results})
    unfinished = [record for record in records if not record.result]
    counts = {state: sum(r.state == state for r in unfinished) for state in ("failed", "started", "waiting")}
    rest = "".join(f", {count} {state}" for state, count in counts.items() if count)
    states = texts.states.format(done=len(results), all=len(records), rest=rest)
    facts = [
        texts.task,
        texts.backbone.format(depths=depths, points=points_of(records)),
        texts.loss,
        texts.epochs.format(epochs=", ".join(epochs)),
    ]
    first = Section(texts.baseline, 2, [facts, states])
    if unfinished:
        notes = [f"`{r.name}`: {r.state}" + (f" ({r.note})" if r.note else "") for r in unfinished]
        first.blocks += [f"{texts.unfinished}:", notes]
    losses = Section(texts.losses, 3, [texts.what_original_means])
    for column in FORMULAS:
        if any(record.column == column for record in records):
            losses.blocks += document.loss_tables(records, column, images, texts)
    sections = [first, losses]
    if results:
        losses.blocks.append(document.verdict(records, texts))
        table = document.metrics_table(records, baselines, texts)
        sections.append(Section(texts.metrics, 2, [texts.metrics_note.format(points=points_of(records)), table]))
        if seeds := document.seeds_table(records, texts):
            sections.append(Section(texts.seeds, 2, [texts.seeds_note.format(split=main_split(records)), seeds]))
    return sections


def _figure_sections(records: Sequence[Record], images: Path, texts: Texts, say: Say) -> list[Section]:
    """Plots, faces, costs and provenance of the finished cells."""
    split, finished = main_split(records), [record for record in records if record.result]
    # Of several seeds the lowest.
    firsts = list({(r.depth, r.column): r for r in reversed(finished)}.values())[::-1]
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
        Section(texts.cost, 2, [texts.cost_note, document.cost_table(finished, texts), cost]),
        *provenance_sections(finished, Config(), texts),
        audit_section(best[0], texts, say),
    ]


def _sigma_sections(finished: Sequence[Record], split: str, images: Path, texts: Texts) -> list[Section]:
    """Whether the sigma of the best cell that has one is calibrated."""
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
    """The best cell's faces, and its error against the box; a reason where they are not here."""
    faces = Section(texts.faces.format(cell=best.label))
    jitter = Section(texts.jitter)
    try:
        say(f"faces of {best.name}")
        examples = load_faces(best, split)
        worst, random = draw_sheets(best, split, examples, images)
        faces.blocks += [Figure(worst, texts.worst), Figure(random, texts.random)]
    except ConfigError as error:
        reason = texts.no_faces.format(reason=str(error).splitlines()[0])
        faces.blocks.append(reason)
        jitter.blocks.append(reason)
        return [faces, jitter]
    try:
        say(f"error of {best.name} against the box")
        title = f"{best.label}, {split}"
        plots.plot_jitter(JITTER_LEVELS, jitter_errors(best, examples), title, images / "jitter.png")
        jitter.blocks.append(Figure("jitter.png", texts.jitter_note.format(cell=best.label)))
    except ConfigError as error:
        jitter.blocks.append(texts.no_faces.format(reason=error))
    return [faces, jitter]


def read_baselines(path: str | None) -> list[dict[str, Any]]:
    """Other systems' figures: a list of objects with a name and, for splits, NME, FR@8 and AUC@8.

    Args:
        path: JSON such as `[{"name": "dlib", "validation": {"nme": 5.1, "fr_8": 9.0, "auc_8": 40.2}}]`, or None.

    Returns:
        The list; empty without a file.

    Raises:
        ConfigError: Not such a file.
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
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        example = '[{"name": "dlib", "validation": {"nme": 5.1, "fr_8": 9.0, "auc_8": 40.2}}]'
        raise ConfigError(f"--baseline {path}: {error!r}; it must be a list such as {example}") from error
    return systems
