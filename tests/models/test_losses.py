import math
from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest

import flaxmark.models.losses
from flaxmark.models.losses import (
    LossConfig,
    LossName,
    log_cosh,
    mae,
    make_loss,
    mse,
    nll,
    per_example,
    smooth_l1,
    soft_wing,
    wing,
)
from flaxmark.models.resnet import Prediction

TARGET = jnp.array([[[0.5, 0.5], [0.25, 0.75]]], jnp.float32)
PREDICTED = Prediction(jnp.array([[[0.5, 0.75], [0.75, 2.75]]], jnp.float32))
CERTAIN = Prediction(PREDICTED.landmarks, jnp.full((1, 2), -1.0))


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


@pytest.mark.parametrize("name", get_args(LossName))
def test_losses_are_found_by_name(name: LossName) -> None:
    made = make_loss(LossConfig(name, beta=0.5, pixels=64))
    parameters = {"smooth_l1": {"beta": 0.5}, **{key: {"pixels": 64} for key in ("wing", "soft_wing", "log_cosh")}}
    expected = getattr(flaxmark.models.losses, name)(CERTAIN, TARGET, **parameters.get(name, {}))
    np.testing.assert_array_equal(made(CERTAIN, TARGET), expected)


def test_a_loss_takes_its_parameters_from_the_config() -> None:
    assert make_loss(LossConfig("mse")) is mse
    values = make_loss(LossConfig("smooth_l1", beta=0.5))(PREDICTED, TARGET)
    np.testing.assert_allclose(values.ravel(), [0, 0.0625, 0.25, 1.75])


def losses_of(loss, errors: list[float], **parameters: float) -> list[float]:
    target = jnp.full((1, len(errors), 1), 0.25)
    return loss(Prediction(target + jnp.asarray(errors).reshape(target.shape)), target, **parameters).ravel().tolist()


def test_wing_by_hand() -> None:
    # Pixels: 10 ln(1 + 2 / 2), at the corner 10 ln 6, above it one more a pixel.
    expected = [0, 10 * math.log(2), 10 * math.log(6), 10 * math.log(6) + 5]
    assert losses_of(wing, [0, 2 / 256, 10 / 256, -15 / 256]) == pytest.approx(expected, rel=1e-5)
    assert losses_of(wing, [0.1], pixels=1, width=10, epsilon=2) == pytest.approx([10 * math.log(1.05)], rel=1e-5)


def test_soft_wing_by_hand() -> None:
    # |x| up to 2 pixels, from there 20 ln(1 + 2 |x|) + 2 - 20 ln 5.
    expected = [1, 2, 20 * math.log(11) + 2 - 20 * math.log(5)]
    assert losses_of(soft_wing, [1 / 256, -2 / 256, 5 / 256]) == pytest.approx(expected, rel=1e-5)


def test_log_cosh_by_hand() -> None:
    assert losses_of(log_cosh, [0, 1 / 256, -2 / 256, 1.0]) == pytest.approx(
        [0, math.log(math.cosh(1)), math.log(math.cosh(2)), 256 - math.log(2)], abs=1e-5
    )


def test_nll_is_a_gaussians() -> None:
    prediction = Prediction(jnp.array([[[0.5, 0.75]]], jnp.float32), jnp.log(jnp.array([[0.1]], jnp.float32)))
    # scipy.stats.norm.logpdf([0.5, 0.75], [0.4, 0.75], 0.1)
    np.testing.assert_allclose(nll(prediction, jnp.array([[[0.4, 0.75]]])).ravel(), [-0.8836466, -1.3836466], rtol=1e-5)
    with pytest.raises(ValueError, match=r"model\.sigma"):
        nll(PREDICTED, TARGET)


@pytest.mark.parametrize("loss", [wing, soft_wing, log_cosh])
def test_losses_rise_without_steps(loss) -> None:
    values = np.array(losses_of(loss, np.linspace(0, 0.2, 2001).tolist()))
    steps = np.diff(values)
    assert (steps >= 0).all()
    assert steps.max() < 0.2 * 256 / 2000 * 10.5  # the steepest slope is soft wing's and wing's w / epsilon
