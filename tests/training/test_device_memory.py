"""A run is refused where its step does not fit into the device's memory."""

import dataclasses

import jax
import pytest

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.data.input.network_input import InputForm
from flaxmark.errors import DeviceError
from flaxmark.models.resnet import ResNetConfig
from flaxmark.system.devices import make_mesh
from flaxmark.training import memory
from flaxmark.training.xla_programs import build_programs

BATCH_SIZE = 8


def test_a_run_that_will_not_fit_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model, train = DataConfig(image_size=64), ResNetConfig(depth=18), TrainConfig(batch_size=BATCH_SIZE)
    config, mesh = Config(data=data, model=model, train=train), make_mesh(jax.devices()[:1])
    form = InputForm(in_step=False, resident=True, faces=9, side=128, largest_side=80.0)
    resident = dataclasses.replace(form, in_step=True, faces=100_000)

    def refusal(available: int, form: InputForm) -> DeviceError:
        monkeypatch.setattr(memory, "available_bytes", lambda device: available)
        with pytest.raises(DeviceError) as caught:
            memory.compile_within_memory(build_programs(config, 9, mesh, form), config, mesh, form)
        return caught.value

    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
        error = refusal(10**6, form)
        assert (error.field, error.value) == ("train.batch_size", BATCH_SIZE)
        assert "--train.accumulate" not in error.reason  # no number of parts would help
        assert "--train.accumulate 2" in refusal(15 * 10**7, form).reason
        assert "--data.residency stream" in refusal(10**9, resident).reason
        monkeypatch.setattr(memory, "available_bytes", lambda device: 10**12)
        memory.compile_within_memory(build_programs(config, 9, mesh, form), config, mesh, form)


def test_this_machine_knows_its_memory() -> None:
    available = memory.available_bytes(jax.devices()[0])
    assert available is None or 10**7 < available < 10**15
