"""A program of JAX as a SavedModel or for TFLite: besides flaxmark/data the one place with TensorFlow."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flaxmark.data.tensorflow_setup import tf


def save_program(program: Callable[[Any, Any], dict[str, Any]], path: Path) -> Callable[[Any, Any], dict[str, Any]]:
    """Write a SavedModel whose `predict` takes a image and boxes.

    Args:
        program: `(image uint8 [h, w, 3], boxes float32 [n, 4]) -> outputs`.
        path: Folder to write.

    Returns:
        The program as it is loaded from the folder.
    """
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
    """A program for TFLite (LiteRT), whose inputs `image` and `boxes` are resized before a call.

    Args:
        program: As for `save_program`.

    Returns:
        The content of a file.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_program(program, Path(folder, "saved"))
        content: bytes = tf.lite.TFLiteConverter.from_saved_model(str(Path(folder, "saved"))).convert()
    return content


def load_tflite(path: Path) -> Callable[[Any, Any], dict[str, Any]]:
    """Load a file for TFLite.

    Args:
        path: Holds a program of `convert_to_tflite`.

    Returns:
        The program as the interpreter runs it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the interpreter will move to another package
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    return lambda image, boxes: runner(image=image, boxes=boxes)
