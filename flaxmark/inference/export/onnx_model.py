"""ONNX model of a trained ResNet; its crop is that of `matrix_crop`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float
from onnx import TensorProto, helper

from flaxmark.faces.head_pose import angles
from flaxmark.inference.export.matrix_crop import cut_crops, square_crops
from flaxmark.inference.export.onnx_graph import Graph, OnnxLibrary, Tensor
from flaxmark.inference.network import Network
from flaxmark.models.heads import HEAD, POOLING, SIGMA, VISIBLE, DenseHead, pooling_weights
from flaxmark.models.refined_head import RefinedHead, change_layer, interpolation, map_layer
from flaxmark.models.resnet import ResNetConfig, features_size

OPSET, IR_VERSION = 20, 9

Inputs = Mapping[str, tuple[int, Sequence[str | int | None]]]
"""Name -> element type and shape; names stand for lengths that are only known when the program runs."""


def add_network(graph: Graph, network: Network, crops: Tensor) -> dict[str, Tensor]:
    """Add normalisation, ResNet and head for crops float32 `[n, 3, size, size]` in [0, 255].

    The outputs are `landmarks` `[n, num_points, 2]` and, if the network predicts them, `sigma` `[n, num_points]`, both
    in crop units, and `visible` `[n, num_points]` in [0, 1].
    """
    mean, deviation = (
        np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (network.data.pixel_mean, network.data.pixel_std)
    )
    predicted = add_head(graph, network, add_backbone(graph, network, (crops / 255.0 - mean) / deviation))
    forms = {"sigma": "Exp", "visible": "Sigmoid"}
    return predicted | {name: graph.add(form, predicted[name]) for name, form in forms.items() if name in predicted}


def add_backbone(graph: Graph, network: Network, images: Tensor) -> list[Tensor]:
    """Add a folded ResNet for normalised images `[n, 3, size, size]`; the feature maps of its stages."""
    params, config = network.variables["params"], network.config.model
    assert isinstance(config, ResNetConfig)

    def conv(x: Tensor, group: dict[str, Any], name: str, stride: int) -> Tensor:
        kernel = np.asarray(group[name]["kernel"], np.float32).transpose(3, 2, 0, 1)
        bias = np.asarray(group[name.replace("conv", "norm")]["bias"], np.float32)
        size = kernel.shape[-1]
        ends = [size // 2] * 4
        return graph.add("Conv", x, kernel, bias, kernel_shape=[size] * 2, strides=[stride] * 2, pads=ends)

    x = graph.add("Relu", conv(images, params, "stem_conv", 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    stages = []
    for stage, blocks in enumerate(config.stage_sizes, start=1):
        for block in range(1, blocks + 1):
            group = params[f"stage{stage}_block{block}"]
            stride = 2 if stage > 1 and block == 1 else 1
            # The stride is that of the 3x3 convolution: the first of two, or the second of three.
            strides = (1, stride, 1) if config.bottlenecks else (stride, 1)
            y = x
            for number, own in enumerate(strides, start=1):
                y = conv(y, group, f"conv{number}", own)
                y = graph.add("Relu", y) if number < len(strides) else y
            x = conv(x, group, "conv_shortcut", stride) if "conv_shortcut" in group else x
            x = graph.add("Relu", y + x)
        stages.append(x)
    return stages


def add_dense(graph: Graph, x: Tensor, layer: dict[str, Any]) -> Tensor:
    """Add a dense layer for `[n, features]`; it may have no bias."""
    return graph.add("Gemm", x, *(np.asarray(layer[part], np.float32) for part in ("kernel", "bias") if part in layer))


def add_head(graph: Graph, network: Network, stages: list[Tensor]) -> dict[str, Tensor]:
    """Add the dense head, and the later looks of a refined one.

    The outputs are `landmarks`, the logarithms of `sigma` and the logits of `visible`.
    """
    params, head = network.variables["params"], network.config.model.head
    assert isinstance(head, DenseHead)
    last = stages[-1]
    if head.pooling == "weighted":
        weights = pooling_weights(params[POOLING]["coefficients"], features_size(network.data.image_size))
        last = graph.add("Mul", last, weights.transpose(2, 0, 1)[None].astype(np.float32))
    pooled = graph.add("ReduceMean", last, np.array([2, 3]), keepdims=0)
    layers = {"landmarks": HEAD, "sigma": SIGMA, "visible": VISIBLE}
    values = {name: add_dense(graph, pooled, params[layer]) for name, layer in layers.items() if layer in params}
    if isinstance(head, RefinedHead):
        values = add_looks(graph, network, stages, values, head.looks)
    return values | {"landmarks": graph.add("Reshape", values["landmarks"], pairs(network))}


def pairs(network: Network) -> np.ndarray:
    """Shape of landmarks."""
    return np.array([-1, network.markup.num_points, 2])


def add_looks(
    graph: Graph, network: Network, stages: list[Tensor], values: dict[str, Tensor], looks: int
) -> dict[str, Tensor]:
    """Add the later looks of a refined head to the outputs of its first one, `landmarks` `[n, 2 * num_points]`."""
    for look in range(1, looks + 1):
        seen = add_look(graph, network, stages, graph.add("Reshape", values["landmarks"], pairs(network)), look)
        layers = {name: network.variables["params"][change_layer(look, name)] for name in values}
        values = {name: value + add_dense(graph, seen, layers[name]) for name, value in values.items()}
    return values


def add_look(graph: Graph, network: Network, stages: list[Tensor], points: Tensor, look: int) -> Tensor:
    """Add `RefinedHead.look_at` for points `[n, num_points, 2]`: `[n, num_points * channels]`."""
    total: Any = None
    for number, features in enumerate(stages):
        layer = network.variables["params"][map_layer(look, number)]
        sampled = add_sampling(graph, features, features_size(network.data.image_size, number + 1), points)
        value = graph.add("MatMul", sampled, np.asarray(layer["kernel"], np.float32))
        total = value + np.asarray(layer["bias"], np.float32) if number == 0 else total + value
    shape = np.array([-1, network.markup.num_points * layer["kernel"].shape[1]])
    return graph.add("Reshape", graph.add("Relu", total), shape)


def add_sampling(graph: Graph, features: Tensor, size: int, points: Tensor) -> Tensor:
    """Add `sample` of `[n, channels, size, size]` at points `[n, num_points, 2]`: `[n, num_points, channels]`."""
    across, down = (
        interpolation(OnnxLibrary(graph), graph.add("Gather", points, np.array([axis]), axis=2), size)
        for axis in (0, 1)
    )
    weights = graph.add("Unsqueeze", down, np.array([3])) * graph.add("Unsqueeze", across, np.array([2]))
    weights = graph.add("Reshape", weights, np.array([0, 0, size**2]))
    pixels = graph.add("Transpose", graph.add("Reshape", features, np.array([0, 0, size**2])), perm=[0, 2, 1])
    return graph.add("MatMul", weights, pixels)


def add_pose(graph: Graph, landmarks: Tensor, matrix: Float[np.ndarray, "3 points"]) -> Tensor:
    """Add the head pose `[n, 3]` in degrees of landmarks `[n, num_points, 2]`; the matrix is that of `fit_matrix`."""
    projections = graph.add("Reshape", graph.add("MatMul", matrix, landmarks), np.array([-1, 6]))
    column = [graph.add("Gather", projections, np.array([i]), axis=1) for i in range(6)]
    u, v = (column[0], column[2], column[4]), (column[1], column[3], column[5])
    return graph.add("Concat", *angles(OnnxLibrary(graph), u, v), axis=1)


def make_face_model(network: Network, description: str, pose: Float[np.ndarray, "3 points"] | None) -> onnx.ModelProto:
    """ONNX model from `image` uint8 `[height, width, 3]` and `boxes` float32 `[faces, 4]` to landmarks in pixels.

    The outputs are `landmarks` float32 `[faces, num_points, 2]`, if the network predicts them, `sigma` and `visible`
    float32 `[faces, num_points]`, and with the matrix `pose` of `fit_matrix` the `pose` float32 `[faces, 3]` in
    degrees. The description is stored as metadata under `flaxmark`.
    """
    graph, data = Graph(), network.data
    boxes = Tensor(graph, "boxes")
    # Each [faces, 1, 1].
    edges = [
        graph.add("Reshape", graph.add("Gather", boxes, np.array(i), axis=1), np.array([-1, 1, 1])) for i in range(4)
    ]
    xp = OnnxLibrary(graph)
    left, top, side = square_crops(xp, edges, data.crop.scale)
    planes = graph.add("Cast", Tensor(graph, "image"), to=TensorProto.FLOAT)
    planes = graph.add("Transpose", planes, perm=[2, 0, 1])
    crops = cut_crops(xp, planes, (left, top, side), data.crop, data.image_size)
    predicted = add_network(graph, network, crops)
    outputs = predicted | {"landmarks": predicted["landmarks"] * side + graph.add("Concat", left, top, axis=2) - 0.5}
    if "sigma" in predicted:
        length = graph.add("Squeeze", side, np.array([2]))
        outputs["sigma"] = predicted["sigma"] * network.metadata["sigma_scale"] * length
    if pose is not None:
        outputs["pose"] = add_pose(graph, predicted["landmarks"], pose)
    inputs: Inputs = {
        "image": (TensorProto.UINT8, ["height", "width", 3]),
        "boxes": (TensorProto.FLOAT, ["faces", 4]),
    }
    return _finish(graph, inputs, outputs, data.markup.num_points, description)


def make_crop_model(network: Network) -> onnx.ModelProto:
    """ONNX model of the network alone, to measure its speed: `crops` float32 `[faces, size, size, 3]` in [0, 255].

    Outputs are those of `add_network`.
    """
    graph, size = Graph(), network.data.image_size
    planes = graph.add("Transpose", Tensor(graph, "crops"), perm=[0, 3, 1, 2])
    predicted = add_network(graph, network, planes)
    inputs: Inputs = {"crops": (TensorProto.FLOAT, ["faces", size, size, 3])}
    return _finish(graph, inputs, predicted, network.markup.num_points, "")


def _finish(
    graph: Graph,
    inputs: Inputs,
    outputs: dict[str, Tensor],
    points: int,
    description: str,
) -> onnx.ModelProto:
    """Name the outputs, and build and check the model."""
    shapes: dict[str, list[str | int | None]] = {
        "landmarks": ["faces", points, 2],
        "sigma": ["faces", points],
        "visible": ["faces", points],
        "pose": ["faces", 3],
    }
    for name, tensor in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [tensor.name], [name]))
    made = helper.make_graph(
        graph.nodes,
        "flaxmark",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"flaxmark": description})
    onnx.checker.check_model(model)
    return model
