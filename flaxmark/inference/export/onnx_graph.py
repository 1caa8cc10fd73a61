"""ONNX graph of a trained ResNet, built operator by operator; its crop is that of `matrix_crop`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper

from flaxmark.faces.head_pose import angles
from flaxmark.inference.export.matrix_crop import cut_crops, square_crops
from flaxmark.inference.network import Network
from flaxmark.models.heads import POOLING, VISIBLE, pooling_weights
from flaxmark.models.resnet import ResNetConfig, features_size

OPSET, IR_VERSION = 20, 9

Inputs = Mapping[str, tuple[int, Sequence[str | int | None]]]
"""Name -> element type and shape; names stand for lengths that are only known when the program runs."""


class Graph:
    """Nodes and constants of a graph under construction."""

    def __init__(self) -> None:
        """Start without nodes."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[Any, ...], str] = {}

    def constant(self, values: Any) -> "Tensor":
        """Store an array or number, once for equal ones."""
        array = np.asarray(values)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"constant{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return Tensor(self, self._known[key])

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> "Tensor":
        """Add a node; its first output. Inputs are tensors, arrays, or numbers that become float32 constants."""
        names = [self.tensor(value).name for value in inputs]
        output = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return Tensor(self, output)

    def tensor(self, value: Any) -> "Tensor":
        """A tensor itself, or a number or array as a constant."""
        if isinstance(value, Tensor):
            return value
        return self.constant(np.float32(value) if isinstance(value, int | float) else value)


class Tensor:
    """A value in a graph; arithmetic with it adds nodes."""

    def __init__(self, graph: Graph, name: str) -> None:
        """Refer to an output, an input or a constant."""
        self.graph, self.name = graph, name

    def __add__(self, other: Any) -> "Tensor":
        """Sum."""
        return self.graph.add("Add", self, other)

    def __sub__(self, other: Any) -> "Tensor":
        """Difference."""
        return self.graph.add("Sub", self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        """Difference from a number."""
        return self.graph.add("Sub", other, self)

    def __mul__(self, other: Any) -> "Tensor":
        """Product."""
        return self.graph.add("Mul", self, other)

    def __truediv__(self, other: Any) -> "Tensor":
        """Quotient."""
        return self.graph.add("Div", self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        """Quotient of a number."""
        return self.graph.add("Div", other, self)

    __radd__, __rmul__ = __add__, __mul__


class OnnxLibrary:
    """The functions of `ImageLibrary` as nodes of a graph."""

    def __init__(self, graph: Graph) -> None:
        """Add nodes to a graph."""
        self._graph = graph

    def floor(self, x: Any) -> Tensor:
        """Largest integer not above x."""
        return self._graph.add("Floor", x)

    def absolute(self, x: Any) -> Tensor:
        """Absolute value."""
        return self._graph.add("Abs", x)

    def maximum(self, x: Any, y: Any) -> Tensor:
        """The larger of two."""
        return self._graph.add("Max", x, y)

    def minimum(self, x: Any, y: Any) -> Tensor:
        """The smaller of two."""
        return self._graph.add("Min", x, y)

    def less(self, x: Any, y: Any) -> Tensor:
        """1.0 where x < y, else 0.0."""
        return self._graph.add("Cast", self._graph.add("Less", x, y), to=TensorProto.FLOAT)

    def sqrt(self, x: Any) -> Tensor:
        """Square root."""
        return self._graph.add("Sqrt", x)

    def arctan2(self, y: Any, x: Any) -> Tensor:
        """Angle of (x, y) in radians, for which ONNX has no operator."""
        half_turn = math.pi - 2 * math.pi * self.less(y, 0.0)
        return self._graph.add("Atan", y / x) + self.less(x, 0.0) * half_turn

    def sum_last(self, x: Any) -> Tensor:
        """Sum over the last axis, which stays with length 1."""
        return self._graph.add("ReduceSum", x, np.array([-1]), keepdims=1)

    def arange(self, count: int) -> Tensor:
        """float32 `[count]`: 0, 1, ..."""
        return self._graph.constant(np.arange(count, dtype=np.float32))

    def column(self, x: Any) -> Tensor:
        """`[count]` as `[count, 1]`."""
        return self._graph.add("Unsqueeze", x, np.array([1]))

    def lengths(self, image: Any) -> tuple[Tensor, Tensor]:
        """Height and width."""
        shape = self._graph.add("Shape", image)
        height, width = (self._graph.add("Gather", shape, np.array(axis), axis=0) for axis in (1, 2))
        return height, width

    def counting(self, length: Any) -> Tensor:
        """float32 `[length]`: 0, 1, ..."""
        whole = self._graph.add("Range", np.array(0), length, np.array(1))
        return self._graph.add("Cast", whole, to=TensorProto.FLOAT)

    def scalar(self, length: Any) -> Tensor:
        """A length as a float32 scalar."""
        return self._graph.add("Cast", length, to=TensorProto.FLOAT)

    def across(self, images: Any, weights: Any) -> Tensor:
        """`[.., 3, h, w]` and `[n, columns, w]` to `[n, 3, h, columns]`."""
        turned = self._graph.add("Transpose", weights, perm=[0, 2, 1])
        return self._graph.add("MatMul", images, self._graph.add("Unsqueeze", turned, np.array([1])))

    def down(self, images: Any, weights: Any) -> Tensor:
        """`[n, 3, h, w]` and `[n, rows, h]` to `[n, 3, rows, w]`."""
        return self._graph.add("MatMul", self._graph.add("Unsqueeze", weights, np.array([1])), images)


def add_network(graph: Graph, network: Network, crops: Tensor) -> dict[str, Tensor]:
    """Add normalisation, ResNet and dense head for crops float32 `[n, 3, size, size]` in [0, 255].

    The outputs are `landmarks` `[n, num_points, 2]` and, if the network predicts them, `sigma` `[n, num_points]`, both
    in crop units, and `visible` `[n, num_points]` in [0, 1].
    """
    params, data, config = network.variables["params"], network.data, network.config.model
    assert isinstance(config, ResNetConfig)
    mean, deviation = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (data.pixel_mean, data.pixel_std))

    def conv(x: Tensor, group: dict[str, Any], name: str, stride: int) -> Tensor:
        kernel = np.asarray(group[name]["kernel"], np.float32).transpose(3, 2, 0, 1)
        bias = np.asarray(group[name.replace("conv", "norm")]["bias"], np.float32)
        size = kernel.shape[-1]
        ends = [size // 2] * 4
        return graph.add("Conv", x, kernel, bias, kernel_shape=[size] * 2, strides=[stride] * 2, pads=ends)

    x = (crops / 255.0 - mean) / deviation
    x = graph.add("Relu", conv(x, params, "stem_conv", 2))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
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
    if POOLING in params:
        weights = pooling_weights(params[POOLING]["coefficients"], features_size(data.image_size))
        x = graph.add("Mul", x, weights.transpose(2, 0, 1)[None].astype(np.float32))
    features = graph.add("ReduceMean", x, np.array([2, 3]), keepdims=0)

    def head(name: str) -> Tensor:
        kernel, bias = (np.asarray(params[name][part], np.float32) for part in ("kernel", "bias"))
        return graph.add("Gemm", features, kernel, bias)

    landmarks = graph.add("Reshape", head("head"), np.array([-1, data.markup.num_points, 2]))
    sigma = {"sigma": graph.add("Exp", head("head_sigma"))} if config.sigma else {}
    visible = {"visible": graph.add("Sigmoid", head(VISIBLE))} if VISIBLE in params else {}
    return {"landmarks": landmarks, **sigma, **visible}


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
