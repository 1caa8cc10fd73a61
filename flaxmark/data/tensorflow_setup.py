"""TensorFlow and TFDS, quiet and kept off accelerators: the one place that they are imported from."""

import os

# Both are read once, when TensorFlow is loaded; oneDNN announces itself, and our images do not use it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import absl.logging
import tensorflow as tf
import tensorflow_datasets as tfds

# JAX owns the accelerators; TensorFlow would take all memory of each one it sees.
for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)
absl.logging.set_verbosity(min(absl.logging.get_verbosity(), absl.logging.ERROR))
tfds.disable_progress_bar()

__all__ = ["tf", "tfds"]
