"""Compile a run's steps for chips that are not here, and say what that costs a chip: operations, memory, messages."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from flaxmark.config.config import Config
from flaxmark.data.input.network_input import InputForm
from flaxmark.data.input.region_tiles import padded_side
from flaxmark.errors import ConfigError
from flaxmark.evaluation.eval_step import forward_flops
from flaxmark.system.devices import make_mesh
from flaxmark.tools.chips import Chip, find_chip, find_devices
from flaxmark.training.memory import eval_shapes, input_shapes
from flaxmark.training.xla_programs import build_programs

OFFICIAL_FACES = 3148  # of 300-W's training set
ITEM_BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_COLLECTIVE = re.compile(
    r"= (?P<shape>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\("
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between chips in a compiled program.

    Attributes:
        kind: XLA's name of it, such as `all-reduce`.
        dtype: Of most of its bytes, XLA's name.
        size: Bytes of its results on one chip.
    """

    kind: str
    dtype: str
    size: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a compiled step asks of one chip; seconds are computed from published rates, not measured.

    Attributes:
        chips: How many share the batch.
        images: Of the batch, on one chip.
        flops: Operations as XLA counts the compiled program; None for GPUs, where it does not.
        model_flops: Operations of the network itself: three times its forward pass in training.
        bytes: Moved from and to the chip's memory; None where XLA does not count them.
        memory: Bytes that the program holds at once: arguments and temporaries.
        collectives: Its exchanges with other chips.
        chip: Its published rates.
    """

    chips: int
    images: int
    flops: float | None
    model_flops: float
    bytes: float | None
    memory: int
    collectives: tuple[Collective, ...]
    chip: Chip

    @property
    def exchange_seconds(self) -> float:
        """A ring sends twice its data around, half of the interconnect each way."""
        share = (self.chips - 1) / self.chips
        return 2 * share * sum(c.size for c in self.collectives) / (self.chip.interconnect / 2)

    @property
    def roofline_seconds(self) -> float:
        """The slowest of computing, moving and exchanging, if each ran at its published rate beside the others."""
        flops = self.model_flops if self.flops is None else self.flops
        return max(flops / self.chip.peak, (self.bytes or 0) / self.chip.bandwidth, self.exchange_seconds)

    @property
    def model_flops_share(self) -> float | None:
        """Model operations over what the chip could do in the roofline time; an upper bound, in [0, 1].

        None where the moved bytes, which mostly decide it, are not known.
        """
        return None if self.bytes is None else self.model_flops / (self.roofline_seconds * self.chip.peak)


def parse_collectives(text: str) -> tuple[Collective, ...]:
    """The exchanges in a compiled program.

    Args:
        text: XLA's text of it; an exchange that is split into start and done counts once.

    Returns:
        In the order of the text.
    """
    found = []
    for match in _COLLECTIVE.finditer(text):
        arrays = [
            (dtype, ITEM_BYTES.get(dtype, 4) * math.prod(int(n) for n in dims.split(",") if n))
            for dtype, dims in _ARRAY.findall(re.sub(r"\{[^}]*\}", "", match["shape"]))
        ]
        found.append(Collective(match["kind"], max(arrays, key=lambda a: a[1])[0], sum(size for _, size in arrays)))
    return tuple(found)


STEPS = ("train", "train, images given", "evaluate")


def resident_form(config: Config, faces: int = OFFICIAL_FACES) -> InputForm:
    """300-W's training faces, all of them in the memory of each chip."""
    side = padded_side(math.ceil(config.data.crop.stored_size * config.data.crop.margin) + 2)
    return InputForm(True, True, faces, side, config.data.crop.stored_size)


def compile_for(
    config: Config, topology: str, chips: int | None = None, steps: Sequence[str] = STEPS
) -> dict[str, Cost]:
    """Compile the steps of a run for a topology.

    `train` makes the images itself, from regions in the chip's memory and the numbers of the faces, which are all that
    comes from the host. `train, images given` is the step alone, on a batch that is there. `evaluate` makes its images
    from regions that come with the batch.

    Args:
        config: The run; its batch is split over the chips.
        topology: Such as `v5e:4x4`, or `h100:8`.
        chips: Only the first so many of its chips; all by default.
        steps: Which of them.

    Returns:
        Each of `steps` and what it costs.

    Raises:
        ConfigError: Unknown topology, no compiler for it, or a batch that does not divide.
    """
    chip, mesh = find_chip(topology), make_mesh(find_devices(topology, chips))
    batch = ("batch-size", config.train.batch_size)
    sizes = dict.fromkeys(STEPS, batch) | {"evaluate": ("eval-batch-size", config.train.eval_batch_size)}
    for field, size in (sizes[name] for name in steps):
        if size % mesh.size:
            raise ConfigError(f"--train.{field} {size}: must be a multiple of the {mesh.size} chips")
    form = resident_form(config)
    programs = build_programs(config, 100, mesh, form)
    shapes = input_shapes(programs, config, mesh, form)
    state = shapes[0]
    known = {
        "train": lambda: (programs.train, shapes, 3),
        "train, images given": lambda: (programs.train, input_shapes(programs, config, mesh, form.given()), 3),
        "evaluate": lambda: (programs.evaluation.evaluate, eval_shapes(state, config, mesh, form), 1),
    }
    return {name: _cost(*known[name](), config, mesh.size, chip) for name in steps}


def _cost(step: Any, shapes: Any, passes: int, config: Config, chips: int, chip: Chip) -> Cost:
    """Compile a step and read what XLA says of it; per chip, as it compiles one chip's program."""
    compiled = step.trace(*shapes).lower(lowering_platforms=(chip.platform,)).compile()
    counted, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    images = shapes[-1]["mask"].shape[0] // chips
    return Cost(
        chips=chips,
        images=images,
        flops=counted.get("flops"),
        model_flops=passes * forward_flops(config, images),
        bytes=counted.get("bytes accessed"),
        memory=memory.argument_size_in_bytes + memory.temp_size_in_bytes,
        collectives=parse_collectives(compiled.as_text()),
        chip=chip,
    )


def format_costs(costs: dict[str, Cost], topology: str) -> str:
    """A Markdown table of what `compile_for` found.

    Args:
        costs: By step.
        topology: For its heading.

    Returns:
        The text; every time in it is computed.
    """
    lines = [
        f"{topology}, {next(iter(costs.values())).chips} chips; per chip, compiled, times computed and not measured",
        "",
        "| step | images | GFLOP | of the model | GB moved | GB held of the chip's | exchanges | roofline ms "
        "| images/s at most | model FLOPs share at most |",
        "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for name, cost in costs.items():
        seconds = cost.roofline_seconds
        cells = [
            name,
            f"{cost.images}",
            in_cell(cost.flops, 1, 1e9),
            in_cell(cost.model_flops, 1, 1e9),
            in_cell(cost.bytes, 2, 1e9),
            f"{cost.memory / 1e9:.2f} of {cost.chip.memory / 1e9:.0f}",
            describe_collectives(cost.collectives),
            f"{1e3 * seconds:.2f}",
            f"{cost.images / seconds:,.0f}",
            in_cell(cost.model_flops_share, 2),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def in_cell(number: float | None, digits: int, unit: float = 1) -> str:
    """A number for a table.

    Args:
        number: None where it is not known.
        digits: Behind the point.
        unit: Of the table's column.

    Returns:
        Such as `1.53`, or a dash.
    """
    return "-" if number is None else f"{number / unit:.{digits}f}"


def describe_collectives(collectives: tuple[Collective, ...]) -> str:
    """Number, kind, type and size of the exchanges, in a few words.

    Args:
        collectives: From `parse_collectives`.

    Returns:
        Such as `36 all-reduce f32, 45.1 MB`.
    """
    kinds = sorted({(c.kind, c.dtype) for c in collectives})
    groups = [
        (kind, dtype, [c.size for c in collectives if (c.kind, c.dtype) == (kind, dtype)]) for kind, dtype in kinds
    ]
    return (
        "; ".join(f"{len(sizes)} {kind} {dtype}, {sum(sizes) / 1e6:.1f} MB" for kind, dtype, sizes in groups) or "none"
    )
