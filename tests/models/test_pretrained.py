import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from helpers.torch_weights import GOLDEN_OUTPUTS, fresh_variables, images, weights_of

from flaxmark.errors import ConfigError
from flaxmark.models.model import ModelConfig, make_model
from flaxmark.models.pretrained import start_from
from flaxmark.models.torch_files import read_tensors

GOLDEN = json.loads(GOLDEN_OUTPUTS.read_text())


def our_outputs(depth: int, weights: dict[str, np.ndarray], path: Path) -> np.ndarray:
    variables = start_from(str(path), fresh_variables(depth), depth)
    head = {"kernel": weights["fc.weight"].T, "bias": weights["fc.bias"]}
    variables["params"]["head"] = head
    apply = make_model(ModelConfig(depth=depth)).apply
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
    network = TorchResNet(depth)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=False)
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "resnet.pth")
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name, values in read_tensors(tmp_path / "old.pth").items():
        np.testing.assert_array_equal(values, network.state_dict()[name].numpy(), err_msg=name)
    tensors = read_tensors(tmp_path / "resnet.pth")
    assert len(tensors) == len(network.state_dict())
    for name, values in weights.items():
        np.testing.assert_array_equal(tensors[name], values, err_msg=name)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        start_from(str(tmp_path / "nothing"), fresh_variables(18), 18)


def test_everything_that_does_not_fit_is_in_one_message(tmp_path: Path) -> None:
    weights = weights_of(18)
    del weights["layer2.0.downsample.0.weight"]
    weights["conv1.weight"] = weights["conv1.weight"][:32]
    weights["layer9.weight"] = np.zeros(3, np.float32)
    weights["bn1.weight"] = np.full(64, np.nan, np.float32)
    safetensors.numpy.save_file(weights, tmp_path / "odd.safetensors")
    with pytest.raises(ConfigError) as error:
        start_from(str(tmp_path / "odd.safetensors"), fresh_variables(18), 18)
    text = str(error.value)
    assert "1 missing: layer2.0.downsample.0.weight" in text
    assert "1 not known: layer9.weight" in text
    assert "1 misshapen: conv1.weight [7, 7, 3, 32] instead of [7, 7, 3, 64]" in text
    assert "1 not finite: bn1.weight" in text
    assert "\n" not in text
    safetensors.numpy.save_file(weights_of(18), tmp_path / "good.safetensors")
    with pytest.raises(
        ConfigError, match=r"\d+ missing: layer1\.0\.bn3\..* and \d+ more; \d+ misshapen: .* and \d+ more"
    ):
        start_from(str(tmp_path / "good.safetensors"), fresh_variables(50), 50)
