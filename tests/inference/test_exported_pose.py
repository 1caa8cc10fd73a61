"""Head poses that an exported ONNX graph computes, for heads turned in all directions."""

import numpy as np
import pytest

from flaxmark.data.drawn.head.mean_head import mean_head, poses_of
from flaxmark.faces.head_pose import rotation
from flaxmark.faces.markup import IBUG_68
from flaxmark.inference.export.export import pose_matrix


def test_poses_in_onnx_are_those_of_numpy() -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from flaxmark.inference.export.onnx_graph import Graph, Tensor
    from flaxmark.inference.export.onnx_model import add_pose

    mean = mean_head(IBUG_68)
    matrix = pose_matrix(IBUG_68)
    assert mean is not None
    assert matrix is not None
    angles = [(yaw, pitch, roll) for yaw in (-70, 0, 35) for pitch in (-40, 20) for roll in (-170, -60, 0, 30, 140)]
    points = np.float32([(mean[0] @ rotation(*pose).T)[:, :2] * 0.4 + 0.5 for pose in angles])
    graph = Graph()
    pose = add_pose(graph, Tensor(graph, "landmarks"), matrix)
    float32 = onnx.TensorProto.FLOAT
    made = onnx.helper.make_graph(
        graph.nodes,
        "pose",
        [onnx.helper.make_tensor_value_info("landmarks", float32, ["n", 68, 2])],
        [onnx.helper.make_tensor_value_info(pose.name, float32, ["n", 3])],
        graph.constants,
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"landmarks": points})
    np.testing.assert_allclose(found, angles, atol=0.02)
    np.testing.assert_allclose(found, poses_of(points, IBUG_68), atol=0.02)
