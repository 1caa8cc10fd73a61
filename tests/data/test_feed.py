"""The same images whatever the place: in memory or from disk, in the step or ahead of it, on one device or eight."""

import dataclasses
import functools
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from helpers.small_examples import CONFIG, EXAMPLES

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.input.batches import epoch_order, load_regions
from flaxmark.data.input.feed import EvalFeed, TrainingFeed, crops_of
from flaxmark.data.input.network_input import (
    InputForm,
    epoch_key,
    make_eval_images,
    make_training_images,
    shuffle_tiles,
)
from flaxmark.data.records.examples import Examples
from flaxmark.errors import DeviceError
from flaxmark.system.devices import compile_step, make_mesh
from flaxmark.training import memory
from flaxmark.training.memory import Faces, choose_form, compile_fitting
from flaxmark.training.run_setup import Run

FORM = InputForm(in_step=False, resident=True, faces=22, side=128, largest_side=80.0)
FORMS = {
    f"{'in the step' if in_step else 'ahead'}, {'memory' if resident else 'disk'}": dataclasses.replace(
        FORM, in_step=in_step, resident=resident
    )
    for in_step in (False, True)
    for resident in (True, False)
}


def make_config(**train: Any) -> Config:
    return Config(
        data=CONFIG, train=TrainConfig(**{"epochs": 2, "batch_size": 8, "seed": 2, "eval_batch_size": 8} | train)
    )


@functools.cache
def images_of(name: str, devices: int = 1, mode: str = "jit", first_step: int = 0) -> list[dict[str, np.ndarray]]:
    """All batches of two epochs, as the network sees them."""
    config, mesh = make_config(compile=mode), make_mesh(jax.devices()[:devices])
    feed = TrainingFeed(EXAMPLES, config, mesh, FORMS[name])
    images = make_training_images(config.data, FORM.largest_side)

    def step(_: Any, faces: Any, batch: Any) -> Any:
        return images(faces, batch)

    compiled = compile_step(step, mesh, mode, updates=False, replicated=2)  # type: ignore[arg-type]
    return [jax.device_get(compiled(np.zeros(1, np.float32), feed.faces, batch)) for batch in feed.batches(first_step)]


EXPECTED = "ahead, memory"
ARRAYS = ("landmarks", "crops", "boxes", "source_crops", "visible")


class Modulo:
    """A few records that pass for many."""

    def __init__(self, records: Any, count: int) -> None:
        self.records, self.count = records, count

    def __getitem__(self, index: int) -> bytes:
        return self.records[index % self.count]


@pytest.mark.parametrize(
    ("name", "devices", "mode"),
    [(name, 1, "jit") for name in FORMS] + [(name, 8, mode) for name in FORMS for mode in ("jit", "pmap")],
)
def test_images_are_the_same_everywhere(name: str, devices: int, mode: str) -> None:
    expected, found = images_of(EXPECTED), images_of(name, devices, mode)
    assert len(found) == len(expected) == 4
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other["image"], one["image"], atol=5e-4)  # of values up to 3
        np.testing.assert_allclose(other["landmarks"], one["landmarks"], atol=1e-5)
        np.testing.assert_array_equal(other["visible"], one["visible"])
        np.testing.assert_array_equal(other["mask"], one["mask"])


@pytest.mark.parametrize("name", list(FORMS))
def test_a_resumed_run_sees_the_same_images_to_the_bit(name: str) -> None:
    whole, rest = images_of(name), images_of(name, first_step=3)
    assert len(rest) == 1
    for part in whole[3]:
        np.testing.assert_array_equal(rest[0][part], whole[3][part])


def test_images_change_with_seed_epoch_and_face_alone() -> None:
    first, second = images_of(EXPECTED)[0], images_of(EXPECTED)[2]
    order = [epoch_order(22, 2, epoch)[:8].tolist() for epoch in (0, 1)]
    shared = set(order[0]) & set(order[1])
    assert shared
    for face in shared:
        one, other = first["image"][order[0].index(face)], second["image"][order[1].index(face)]
        assert np.abs(one - other).max() > 0.1
    assert epoch_key(2, 0).tolist() == epoch_key(2, 0).tolist()
    assert len({tuple(epoch_key(seed, epoch)) for seed in range(5) for epoch in range(5)}) == 25


def test_the_files_of_a_step_are_those_of_its_batch() -> None:
    config = Config(
        data=dataclasses.replace(CONFIG, augment=dataclasses.replace(CONFIG.augment, flip=False, shift=0.0))
    )
    config = dataclasses.replace(config, train=TrainConfig(epochs=2, batch_size=4, seed=2))
    feed = TrainingFeed(EXAMPLES, config, make_mesh(jax.devices()[:1]), FORMS["in the step, memory"])
    rows = [batch["row"].tolist() for batch in feed.batches(5)]
    run = SimpleNamespace(config=config, examples=EXAMPLES, steps_per_epoch=5)
    assert Run.files_of(run, 5 + 3) == [str(row) for row in rows[2]]  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", [False, True])
def test_evaluation_feeds_every_face_in_order_again_and_again(keep: bool) -> None:
    feed = EvalFeed(EXAMPLES, make_config(), make_mesh(jax.devices()[:1]), keep)
    for _ in range(2):
        batches = list(feed.batches())
        assert [batch["mask"].sum() for batch in batches] == [8, 8, 6]
        seen = np.concatenate([batch["landmarks"][:, 0, 0] for batch in batches])
        assert seen.tolist() == [*range(22), 21, 21]


def test_evaluation_sees_the_crops_that_sheets_show() -> None:
    feed = EvalFeed(EXAMPLES, make_config(), make_mesh(jax.devices()[:1]))
    images = np.concatenate([make_eval_images(CONFIG)(batch) for batch in feed.batches()])[:22]
    expected = CONFIG.normalize(crops_of(EXAMPLES, range(22), CONFIG, 64) / 255)
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_a_streamed_epoch_is_read_as_it_goes() -> None:
    reads: list[int] = []

    class Counted:
        def __getitem__(self, index: int) -> bytes:
            reads.append(index)
            return EXAMPLES.encoded(index)

    count = 4096
    many = {
        name: np.resize(value, (count, *value.shape[1:])) for name, value in vars(EXAMPLES).items() if name in ARRAYS
    }
    names = [str(number) for number in range(count)]
    texts = {name: names for name in ("subsets", "photographs", "files")}
    examples = Examples(**many, **texts, region_size=128, records=Modulo(Counted(), 22))  # type: ignore[arg-type]
    form = dataclasses.replace(FORMS["ahead, disk"], faces=count)
    batches = TrainingFeed(examples, make_config(), make_mesh(jax.devices()[:1]), form).batches()
    for _ in range(3):
        next(batches)
    time.sleep(0.5)  # what is read ahead has been read by then
    assert 3 * 8 <= len(reads) < 300
    batches.close()


@pytest.mark.parametrize(
    ("wanted", "free", "resident"),
    # 1,000 faces of 128 px are 65.5 MB.
    [
        ("auto", 140e6, True),
        ("auto", 120e6, False),
        ("device", 1e6, True),
        ("stream", 1e12, False),
        ("auto", None, True),
    ],
)
def test_faces_stay_in_memory_where_they_take_half_of_it(
    wanted: str, free: float | None, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: free)
    monkeypatch.setattr(memory, "host_bytes", lambda: None)
    config = dataclasses.replace(make_config(), data=dataclasses.replace(CONFIG, residency=wanted))  # type: ignore[arg-type]
    form = choose_form(config, Faces(1000, 120, 80.0), 10, make_mesh(jax.devices()[:1]))
    assert form == InputForm(in_step=False, resident=resident, faces=1000, side=128, largest_side=80.0, validation=10)


def test_tiles_change_places_and_nothing_is_lost() -> None:
    image = np.random.default_rng(0).normal(size=(2, 70, 70, 3)).astype(np.float32)
    changed = np.asarray(shuffle_tiles(jax.numpy.asarray(image)))
    tiles = [image[:, r * 17 : r * 17 + 17, c * 17 : c * 17 + 17] for r in range(4) for c in range(4)]
    moved = [changed[:, r * 17 : r * 17 + 17, c * 17 : c * 17 + 17] for r in range(4) for c in range(4)]
    places = [next(i for i, tile in enumerate(tiles) if np.array_equal(tile, other)) for other in moved]
    assert sorted(places) == list(range(16))
    for at, place in enumerate(places):
        assert place != at
        for step in (1, 4):  # the neighbours to the right and below
            if at + step < 16 and (step == 4 or at % 4 < 3):
                assert places[at + step] - place != step
    np.testing.assert_array_equal(changed[:, 68:], image[:, 68:])


def test_faces_that_do_not_fit_beside_the_step_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    form = dataclasses.replace(FORM, in_step=True)

    def compiled(_: Any, __: Any, ___: Any, form: InputForm) -> str:
        if form.resident:
            raise DeviceError("too large")
        return "step"

    monkeypatch.setattr(memory, "compile_within_memory", compiled)
    config, mesh = make_config(), make_mesh(jax.devices()[:1])
    programs: Any = None
    assert compile_fitting(programs, config, mesh, form) == (dataclasses.replace(form, resident=False), "step")
    wanted = dataclasses.replace(config, data=dataclasses.replace(CONFIG, residency="device"))
    with pytest.raises(DeviceError, match="too large"):
        compile_fitting(programs, wanted, mesh, form)


def test_a_container_has_the_memory_that_its_group_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "GROUPS", ((str(limit), str(used)),))
    device = jax.devices()[0]
    whole = memory.available_bytes(device)
    assert whole is not None
    limit.write_text("70000000\n")
    used.write_text("20000000\n")
    assert memory.available_bytes(device) == 50_000_000
    limit.write_text("max\n")
    assert (memory.available_bytes(device) or 0) > 50_000_000


def test_regions_lie_where_jax_takes_them_over_without_a_copy() -> None:
    regions = load_regions(EXAMPLES)
    assert regions.ctypes.data % 64 == 0
    assert jax.device_put(regions, jax.devices()[0]).unsafe_buffer_pointer() == regions.ctypes.data
