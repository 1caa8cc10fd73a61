"""Predicted cost of a run on TPUs or GPUs that are absent: its compiled steps' operations, memory and collectives."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

from flaxmark.config.config import Config
from flaxmark.data.input.network_input import InputForm
from flaxmark.data.input.region_tiles import padded_side
from flaxmark.evaluation.eval_step import forward_flops
from flaxmark.schema import require
from flaxmark.system.devices import in_32_bits, make_mesh
from flaxmark.tools.chips import Chip, find_chip, find_devices
from flaxmark.training.memory import eval_shapes, input_shapes
from flaxmark.training.xla_programs import build_programs

OFFICIAL_FACES = 3148  # training faces of 300-W
ITEM_BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1}
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_COLLECTIVE = re.compile(
    r"= (?P<shape>.*?) (?P<kind>all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\("
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective operation between chips in a compiled program.

    Attributes:
        kind: XLA's name, such as `all-reduce`.
        dtype: XLA's name of the type that most of its bytes have.
        size: Bytes of its results on one chip.
    """

    kind: str
    dtype: str
    size: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a compiled step for one chip; seconds are computed from published rates, not measured.

    Attributes:
        chips: Number of chips that share the batch.
        images: Images of the batch on one chip.
        flops: Floating-point operations as XLA counts the compiled program; None for GPUs, where it does not count.
        model_flops: Floating-point operations of the network itself: in training three times its forward pass.
        bytes: Bytes read from and written to the chip's memory; None where XLA does not count them.
        memory: Bytes that the program holds at once: arguments and temporaries.
        collectives: Collective operations with other chips.
        chip: Published rates.
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
    def collective_seconds(self) -> float:
        """Time of the collectives: a ring sends the data twice around, half of the interconnect each way."""
        share = (self.chips - 1) / self.chips
        return 2 * share * sum(c.size for c in self.collectives) / (self.chip.interconnect / 2)

    @property
    def roofline_seconds(self) -> float:
        """Time of the slowest of computing, memory traffic and collectives, each overlapping at its published rate."""
        flops = self.model_flops if self.flops is None else self.flops
        return max(flops / self.chip.peak, (self.bytes or 0) / self.chip.bandwidth, self.collective_seconds)

    @property
    def model_flops_share(self) -> float | None:
        """Model operations over those that the chip can do in the roofline time: an upper bound, in [0, 1].

        None where the memory traffic, which dominates it, is not known.
        """
        return None if self.bytes is None else self.model_flops / (self.roofline_seconds * self.chip.peak)


def parse_collectives(text: str) -> tuple[Collective, ...]:
    """Collectives in XLA's text of a compiled program, in its order.

    A collective that is split into start and done counts once.
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
    """Input with the training faces of 300-W resident in the memory of each chip."""
    side = padded_side(math.ceil(config.data.crop.stored_size * config.data.crop.margin) + 2)
    return InputForm(True, True, faces, side, config.data.crop.stored_size)


@in_32_bits
def compile_for(
    config: Config, topology: str, chips: int | None = None, steps: Sequence[str] = STEPS
) -> dict[str, Cost]:
    """Compile steps of a run for a topology such as `v5e:4x4` or `h100:8`, or for its first `chips` chips.

    `train` makes the images itself, from regions in the chip's memory; only the numbers of the faces come from the
    host. `train, images given` is the step alone, for a batch of images. `evaluate` makes its images from regions that
    come with the batch.

    Raises ConfigError for an unknown topology or a batch that does not divide, DeviceError without a compiler for it.
    """
    chip, mesh = find_chip(topology), make_mesh(find_devices(topology, chips))
    for field in ("train.eval_batch_size" if name == "evaluate" else "train.batch_size" for name in steps):
        size = getattr(config.train, field.removeprefix("train."))
        require(size % mesh.size == 0, field, size, f"must be a multiple of the {mesh.size} chips")
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
    """Compile a step and read XLA's analysis; it is per chip, as XLA compiles the program of one chip."""
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
    """Markdown table of the costs by step; the topology goes into its heading."""
    lines = [
        f"{topology}, {next(iter(costs.values())).chips} chips; values per chip; times are computed, not measured",
        "",
        "| step | images | GFLOP | model GFLOP | memory traffic GB | memory GB | collectives | roofline ms "
        "| max images/s | max model FLOPs utilisation |",
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
    """Table cell of a number in the column's unit; a dash for None."""
    return "-" if number is None else f"{number / unit:.{digits}f}"


def describe_collectives(collectives: tuple[Collective, ...]) -> str:
    """Number, kind, type and size of collectives, such as `36 all-reduce f32, 45.1 MB`."""
    kinds = sorted({(c.kind, c.dtype) for c in collectives})
    groups = [
        (kind, dtype, [c.size for c in collectives if (c.kind, c.dtype) == (kind, dtype)]) for kind, dtype in kinds
    ]
    return (
        "; ".join(f"{len(sizes)} {kind} {dtype}, {sum(sizes) / 1e6:.1f} MB" for kind, dtype, sizes in groups) or "none"
    )
