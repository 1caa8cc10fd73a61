"""Computing in bfloat16 learns what float32 learns."""

import functools

import jax
import numpy as np
import optax
import pytest

from flaxmark.config import DataConfig, LossConfig, ModelConfig
from flaxmark.drawing import draw_face
from flaxmark.losses import make_loss
from flaxmark.metrics import nme
from flaxmark.models import make_model
from flaxmark.steps import make_eval_step, make_train_step
from flaxmark.train_state import init_train_state

SIZE, TRAIN, TEST, STEPS, BATCH = 80, 96, 64, 36, 16


@functools.cache
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Pictures `[n, size, size, 3]`, normalised, and landmarks `[n, 68, 2]` in units of the picture."""
    faces = [draw_face(seed, SIZE) for seed in range(TRAIN + TEST)]
    pictures = np.stack([picture for picture, _ in faces]).astype(np.float32) / 255
    return DataConfig().normalize(pictures), np.stack([(p + 0.5) / SIZE for _, p in faces]).astype(np.float32)


def trained_nme(dtype: str) -> float:
    """Mean NME on faces not trained on, per cent."""
    pictures, landmarks = drawn()
    model, loss = make_model(ModelConfig(depth=18, dtype=dtype)), make_loss(LossConfig("smooth_l1", beta=0.02))  # type: ignore[arg-type]
    optimizer = optax.adam(optax.linear_schedule(2e-3, 0.0, STEPS))
    step = jax.jit(make_train_step(model, loss, optimizer, lambda _: 0.0, steps_per_epoch=STEPS, ema_decay=0.9))
    mean_face = landmarks[:TRAIN].mean(0)
    state = jax.jit(lambda key: init_train_state(key, model, optimizer, mean_face, True))(jax.random.key(0))
    order = np.random.default_rng(0)
    for _ in range(STEPS):
        rows = order.choice(TRAIN, BATCH, replace=False)
        state, _ = step(
            state, {"image": pictures[rows], "landmarks": landmarks[rows], "mask": np.ones(BATCH, np.float32)}
        )
    test = {"image": pictures[TRAIN:], "landmarks": landmarks[TRAIN:], "mask": np.ones(TEST, np.float32)}
    outputs = jax.jit(make_eval_step(model, loss))(state.eval_variables, test)
    found = float(nme(np.asarray(outputs["landmarks"]), landmarks[TRAIN:]).mean())
    mean_face_nme = float(nme(np.broadcast_to(mean_face, landmarks[TRAIN:].shape), landmarks[TRAIN:]).mean())
    print(f"{dtype}: NME {found:.2f} %, mean face {mean_face_nme:.2f} %")
    assert found < 0.8 * mean_face_nme  # it has learnt something
    return found


def test_bfloat16_reaches_the_error_of_float32() -> None:
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer count with floats
        assert trained_nme("bfloat16") == pytest.approx(trained_nme("float32"), rel=0.05)
