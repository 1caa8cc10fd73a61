"""Conversion of a JAX program to a SavedModel and to TFLite."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flaxmark.data.tensorflow_setup import tf


def save_program(program: Callable[[Any, Any], dict[str, Any]], path: Path) -> Callable[[Any, Any], dict[str, Any]]:
    """Write a SavedModel with a function `predict(image uint8 [h, w, 3], boxes float32 [n, 4])`; the loaded program."""
    from jax.experimental import jax2tf

    module = tf.Module()
    module.predict = tf.function(
        jax2tf.convert(program, polymorphic_shapes=("height, width, 3", "faces, 4"), with_gradient=False),
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
