"""Conversion of a JAX program to a SavedModel and to TFLite."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from jaxlib.mlir.dialects import stablehlo

from flaxmark.data.tensorflow_setup import tf


def to_tensorflow(program: Callable[[Any, Any], dict[str, Any]]) -> Callable[[Any, Any], dict[str, Any]]:
    """A JAX program for `tf.function`, as StableHLO of a version that TensorFlow reads; jax2tf writes a newer one."""
    from tensorflow.compiler.mlir.stablehlo.stablehlo import get_current_version
    from tensorflow.compiler.tf2xla.python.xla import call_module

    height, width, faces = jax.export.symbolic_shape("height, width, faces")
    shapes = jax.ShapeDtypeStruct((height, width, 3), np.uint8), jax.ShapeDtypeStruct((faces, 4), np.float32)
    exported = jax.export.export(jax.jit(program), platforms=("cpu",))(*shapes)
    version = stablehlo.get_smaller_version(stablehlo.get_current_version(), get_current_version())
    newest = stablehlo.deserialize_portable_artifact_str(exported.mlir_module_serialized)
    module = stablehlo.serialize_portable_artifact_str(newest, version)

    def function(image: Any, boxes: Any) -> dict[str, Any]:
        outputs = call_module(
            [image, boxes],
            version=exported.calling_convention_version,
            module=module,
            Tout=[aval.dtype for aval in exported.out_avals],
            Sout=[[side if isinstance(side, int) else None for side in aval.shape] for aval in exported.out_avals],
            platforms=[name.upper() for name in exported.platforms],
        )
        named: dict[str, Any] = jax.tree.unflatten(exported.out_tree, outputs)
        return named

    return function


def save_program(program: Callable[[Any, Any], dict[str, Any]], path: Path) -> Callable[[Any, Any], dict[str, Any]]:
    """Write a SavedModel with a function `predict(image uint8 [h, w, 3], boxes float32 [n, 4])`; the loaded program."""
    module = tf.Module()
    module.predict = tf.function(
        to_tensorflow(program),
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8, name="image"),
            tf.TensorSpec([None, 4], tf.float32, name="boxes"),
        ],
        autograph=False,
    )
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.predict})
    loaded: Callable[[Any, Any], dict[str, Any]] = tf.saved_model.load(str(path)).predict
    return loaded


def convert_to_tflite(program: Callable[[Any, Any], dict[str, Any]]) -> bytes:
    """Convert a program to the content of a TFLite (LiteRT) file with the inputs `image` and `boxes` of any size."""
    with tempfile.TemporaryDirectory() as folder:
        save_program(program, Path(folder, "saved"))
        content: bytes = tf.lite.TFLiteConverter.from_saved_model(str(Path(folder, "saved"))).convert()
    return content


def load_tflite(path: Path) -> Callable[[Any, Any], dict[str, Any]]:
    """Load a TFLite file of `convert_to_tflite`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter will move to another package
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    return lambda image, boxes: runner(image=image, boxes=boxes)
