import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.config import LossConfig
from flaxmark.losses import mae, make_loss, mse, per_example, smooth_l1
from flaxmark.models import Prediction

TARGET = jnp.array([[[0.5, 0.5], [0.25, 0.75]]], jnp.float32)
PREDICTED = Prediction(jnp.array([[[0.5, 0.75], [0.75, 2.75]]], jnp.float32))


def test_by_hand() -> None:
    # Errors: 0, 0.25, 0.5, 2.
    np.testing.assert_allclose(mse(PREDICTED, TARGET).ravel(), [0, 0.0625, 0.25, 4])
    np.testing.assert_allclose(mae(PREDICTED, TARGET).ravel(), [0, 0.25, 0.5, 2])
    np.testing.assert_allclose(smooth_l1(PREDICTED, TARGET).ravel(), [0, 0.03125, 0.125, 1.5])
    np.testing.assert_allclose(smooth_l1(PREDICTED, TARGET, beta=0.5).ravel(), [0, 0.0625, 0.25, 1.75])
    np.testing.assert_allclose(per_example(mae(PREDICTED, TARGET)), [2.75 / 4])


@pytest.mark.parametrize("beta", [0.02, 1.0, 3.0])
def test_smooth_l1_around_beta(beta: float) -> None:
    errors = np.array([0, 0.5, 0.999, 1, 1.001, 2, -0.999, -1, -1.001], np.float32) * np.float32(beta)
    prediction = Prediction(jnp.asarray(errors).reshape(1, -1, 1))
    expected = [e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2 for e in errors.tolist()]
    losses = smooth_l1(prediction, jnp.zeros_like(prediction.landmarks), beta=beta)
    np.testing.assert_allclose(losses.ravel(), expected, rtol=1e-5)


def test_beta_1_is_half_of_mse_below_1() -> None:
    prediction = Prediction(jnp.linspace(-0.9, 0.9, 19).reshape(1, -1, 1))
    zero = jnp.zeros_like(prediction.landmarks)
    np.testing.assert_allclose(smooth_l1(prediction, zero), mse(prediction, zero) / 2, rtol=1e-6)


def test_losses_are_found_by_name() -> None:
    assert make_loss(LossConfig("mse")) is mse
    values = make_loss(LossConfig("smooth_l1", beta=0.5))(PREDICTED, TARGET)
    np.testing.assert_allclose(values.ravel(), [0, 0.0625, 0.25, 1.75])
