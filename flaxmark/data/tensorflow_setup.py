"""TensorFlow and TFDS without log messages and accelerators; import them from here only."""

import contextlib
import os

from flaxmark.system.files import cache_dir

with contextlib.suppress(ImportError):
    import flaxmark.system.matplotlib_setup  # noqa: F401 - Keras loads matplotlib

if not os.path.isabs(os.path.expanduser("~")):
    os.environ.setdefault("KERAS_HOME", str(cache_dir() / "keras"))  # it would make a folder named ~
# Both are read once, when TensorFlow is loaded; oneDNN prints a message, and our images do not use it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import absl.logging
import tensorflow as tf
import tensorflow_datasets as tfds

# JAX uses the accelerators; TensorFlow would take all memory of each visible one.
for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)
absl.logging.set_verbosity(min(absl.logging.get_verbosity(), absl.logging.ERROR))
tfds.disable_progress_bar()

__all__ = ["tf", "tfds"]
