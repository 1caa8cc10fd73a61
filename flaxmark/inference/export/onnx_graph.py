"""ONNX graphs, built operator by operator."""

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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
