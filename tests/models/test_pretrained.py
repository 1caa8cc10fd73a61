import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from helpers.torch_weights import GOLDEN_OUTPUTS, fresh_variables, images, weights_of

from flaxmark.errors import CheckpointError, ConfigError
from flaxmark.models.model import make_model
from flaxmark.models.pretrained import start_from_file, start_from_run
from flaxmark.models.resnet import ResNetConfig
from flaxmark.models.weight_files import read_tensors

GOLDEN = json.loads(GOLDEN_OUTPUTS.read_text())


def network(depth: Any) -> ResNetConfig:
    return ResNetConfig(depth=depth)


def our_outputs(depth: int, weights: dict[str, np.ndarray], path: Path) -> np.ndarray:
    variables = start_from_file(path, fresh_variables(depth), network(depth))
    head = {"kernel": weights["fc.weight"].T, "bias": weights["fc.bias"]}
    variables["params"]["head"] = head
    apply = make_model(network(depth)).apply
    landmarks = jax.jit(lambda v, x: apply(v, x, False)[0].landmarks)(variables, images())
    return np.asarray(landmarks).reshape(2, 136)


@pytest.mark.parametrize("depth", [18, 50])
def test_weights_of_torch_give_torchs_outputs(depth: int, tmp_path: Path) -> None:
    weights = weights_of(depth)
    counters = {f"{name}.num_batches_tracked": np.array(7) for name in ("bn1", "layer1.0.bn1")}
    safetensors.numpy.save_file(weights | counters, tmp_path / "resnet.safetensors")
    ours = our_outputs(depth, weights, tmp_path / "resnet.safetensors")
    np.testing.assert_allclose(ours, GOLDEN[str(depth)], atol=1e-4)


@pytest.mark.parametrize("depth", [18, 50])
def test_files_of_torch_save_are_read(depth: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from helpers.torch_resnet import TorchResNet, outputs_of

    weights = weights_of(depth)
    np.testing.assert_allclose(outputs_of(depth, weights, images()), GOLDEN[str(depth)], atol=1e-4)
    torch_network = TorchResNet(depth)
    torch_network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=False)
    state = torch_network.state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "resnet.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("resnet.pth", "old.pth"):
        tensors = read_tensors(tmp_path / name)
        assert tensors.keys() == state.keys()
        for key, values in tensors.items():
            np.testing.assert_array_equal(values, state[key].numpy(), err_msg=key)
    variables = start_from_file(tmp_path / "resnet.pth", fresh_variables(depth), network(depth))
    kernel = variables["params"]["stem_conv"]["kernel"]
    np.testing.assert_array_equal(kernel, weights["conv1.weight"].transpose(2, 3, 1, 0))


def reason_of(path: Path, depth: int) -> str:
    with pytest.raises(CheckpointError) as caught:
        start_from_file(path, fresh_variables(depth), network(depth))
    assert caught.value.field == "model.init_from"
    assert caught.value.value == str(path)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_everything_that_does_not_fit_is_in_one_message(tmp_path: Path) -> None:
    weights = weights_of(18)
    del weights["layer2.0.downsample.0.weight"]
    weights["conv1.weight"] = weights["conv1.weight"][:32]
    weights["layer9.weight"] = np.zeros(3, np.float32)
    weights["bn1.weight"] = np.full(64, np.nan, np.float32)
    safetensors.numpy.save_file(weights, tmp_path / "odd.safetensors")
    reason = reason_of(tmp_path / "odd.safetensors", 18)
    for name in ("layer2.0.downsample.0.weight", "layer9.weight", "conv1.weight [7, 7, 3, 32]", "bn1.weight"):
        assert name in reason
    assert "[7, 7, 3, 64]" in reason
    safetensors.numpy.save_file(weights_of(18), tmp_path / "good.safetensors")
    reason = reason_of(tmp_path / "good.safetensors", 50)  # only a few of very many are named
    assert "layer1.0.bn3." in reason
    assert len(reason) < 1000


def test_a_run_is_continued_with_its_head_where_that_fits() -> None:
    own = jax.tree.map(lambda x: x + 1, fresh_variables(18))
    variables = start_from_run(own, fresh_variables(18), "runs/a")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, own))
    five = dict(own, params=own["params"] | {"head": {"kernel": np.ones((512, 10)), "bias": np.ones(10)}})
    variables = start_from_run(five, fresh_variables(18), "runs/a")
    assert not variables["params"]["head"]["kernel"].any()
    assert variables["params"]["stem_conv"]["kernel"].all()
    with pytest.raises(CheckpointError) as caught:
        start_from_run(own, fresh_variables(50), "runs/a")
    assert (caught.value.field, caught.value.value) == ("model.init_from", "runs/a")


class Unnamed(ResNetConfig):
    def torch_names(self) -> list[tuple[str, str, str]]:
        return []


def test_a_network_without_torchs_names_starts_from_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        start_from_file(tmp_path / "x.safetensors", {}, Unnamed(depth=18))
    assert caught.value.field == "model.init_from"
