import dataclasses

import jax
import pytest
from helpers.commands import command_main

from flaxmark.config.config import Config, TrainConfig
from flaxmark.data.config import DataConfig
from flaxmark.errors import ConfigError, DeviceError
from flaxmark.models.resnet import ResNetConfig
from flaxmark.tools.chips import CHIPS, find_chip
from flaxmark.tools.predicted_cost import (
    Cost,
    compile_for,
    describe_collectives,
    forward_flops,
    in_cell,
    parse_collectives,
)

# As XLA writes them: one array, several at once, and an exchange split into start and done.
PROGRAM = """
  %all-reduce.1 = f32[64]{0:T(128)} all-reduce(%x), channel_id=1
  %all-reduce.2 = (f32[3,3,64]{2,1,0}, bf16[8]{0}) all-reduce(%x, %y), channel_id=2
  %all-reduce-start = bf16[10,10]{1,0} all-reduce-start(%z), channel_id=3
  %all-reduce-done = bf16[10,10]{1,0} all-reduce-done(%all-reduce-start)
  %all-gather.7 = f32[16,136]{1,0} all-gather(%w), dimensions={0}
  %fusion.1 = f32[9]{0} fusion(%all-reduce.1), kind=kLoop
"""


def test_exchanges_are_read_from_the_compiled_text() -> None:
    found = parse_collectives(PROGRAM)
    assert [(c.kind, c.dtype, c.size) for c in found] == [
        ("all-reduce", "f32", 256),
        ("all-reduce", "f32", 4 * 576 + 2 * 8),
        ("all-reduce", "bf16", 200),
        ("all-gather", "f32", 4 * 16 * 136),
    ]
    assert (
        describe_collectives(found) == "1 all-gather f32, 0.0 MB; 1 all-reduce bf16, 0.0 MB; 2 all-reduce f32, 0.0 MB"
    )
    assert describe_collectives(()) == "none"


def test_roofline_by_hand() -> None:
    exchanges = parse_collectives("%a = f32[250000]{0} all-reduce(%x)")
    cost = Cost(4, 16, 197e9, 98.5e9, 819e6, 10**9, exchanges, CHIPS["v5e"])
    # 1 MB, sent round 4 chips: 2 x 3 / 4 MB at 200 GB/s.
    assert cost.collective_seconds == pytest.approx(7.5e-6)
    assert cost.roofline_seconds == pytest.approx(1e-3)
    assert cost.model_flops_share == pytest.approx(0.5)


def test_where_xla_counts_nothing_the_model_is_counted() -> None:
    cost = Cost(1, 16, None, 989e9, None, 10**9, (), CHIPS["h100"])
    assert cost.roofline_seconds == pytest.approx(1e-3)
    assert cost.model_flops_share is None
    assert (in_cell(cost.flops, 1, 1e9), in_cell(cost.model_flops, 1, 1e9)) == ("-", "989.0")


def test_a_forward_pass_costs_what_is_published() -> None:
    # torchvision's ResNet-18 has 1.814 and its ResNet-50 4.089 billion multiplications with additions at 224 px
    # (https://docs.pytorch.org/vision/stable/models.html); XLA counts both, but not the
    # products with the padding's zeros, which are up to a tenth.
    for depth, published in ((18, 1.814), (50, 4.089)):
        config = Config(data=DataConfig(image_size=224), model=ResNetConfig(depth=depth))  # type: ignore[arg-type]
        assert 0.9 < forward_flops(config, 2) / 2 / (2e9 * published) <= 1.02


@pytest.mark.parametrize("name", ["v9:2x2", "v5e", "v5e:2by2", "h100:2x2"])
def test_an_unknown_topology_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_chip(name)
    assert (caught.value.field, caught.value.value) == ("topology", name)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    config = Config(data=DataConfig(image_size=64), model=ResNetConfig(depth=18))
    pytest.importorskip("libtpu")
    with pytest.raises(ConfigError) as caught:
        compile_for(config, "v5e:2x2", chips=3)
    assert (caught.value.field, caught.value.value) == ("train.batch_size", config.train.batch_size)


def test_without_the_compiler_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no libtpu")

    monkeypatch.setattr("flaxmark.tools.chips.topologies.get_topology_desc", fail)
    with pytest.raises(DeviceError, match=r"no libtpu.*flaxmark\[aot\]") as caught:
        compile_for(Config(), "v5e:4x4")
    assert (caught.value.field, caught.value.value) == ("topology", "v5e:4x4")


def test_eight_gpus_that_are_not_here_exchange_little_but_gradients() -> None:
    pytest.importorskip("jax_plugins.xla_cuda13")
    config = Config(data=DataConfig(image_size=64), model=ResNetConfig(depth=18, batch_norm_group=2))
    config = dataclasses.replace(config, train=TrainConfig(batch_size=16))
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
        exchanges = compile_for(config, "h100:8", steps=["train"])["train"].collectives
    # 11.2 million float32 in a few pieces; the 20 BatchNorms would add two exchanges each.
    assert len(exchanges) <= 4
    assert sum(exchange.size for exchange in exchanges) == pytest.approx(4 * 11.25e6, rel=0.01)


def test_values_that_cannot_work_are_refused_before_compiling() -> None:
    with pytest.raises(ConfigError) as caught:
        command_main("aot")(["--config", "quickstart", "--topology", "v5e:2x2", "--loss.beta", "-1"])
    assert caught.value.field == "loss.beta"
