import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flaxmark.errors import ConfigError
from flaxmark.models.heads import Prediction
from flaxmark.models.losses import (
    MAE,
    MSE,
    GaussianNLL,
    LogCosh,
    Loss,
    SmoothL1,
    SoftWing,
    Wing,
    face_losses,
    visibility_losses,
)
from flaxmark.schema import check_bounds, from_dict, to_dict

TARGET = jnp.array([[[0.5, 0.5], [0.25, 0.75]]], jnp.float32)
PREDICTED = Prediction(jnp.array([[[0.5, 0.75], [0.75, 2.75]]], jnp.float32))


def test_by_hand() -> None:
    # Errors: 0, 0.25, 0.5, 2.
    np.testing.assert_allclose(MSE()(PREDICTED, TARGET).ravel(), [0, 0.0625, 0.25, 4])
    np.testing.assert_allclose(MAE()(PREDICTED, TARGET).ravel(), [0, 0.25, 0.5, 2])
    np.testing.assert_allclose(SmoothL1()(PREDICTED, TARGET).ravel(), [0, 0.03125, 0.125, 1.5])
    np.testing.assert_allclose(SmoothL1(beta=0.5)(PREDICTED, TARGET).ravel(), [0, 0.0625, 0.25, 1.75])
    np.testing.assert_allclose(face_losses(MAE(), PREDICTED, TARGET), [2.75 / 4])


@pytest.mark.parametrize("beta", [0.02, 1.0, 3.0])
def test_smooth_l1_around_beta(beta: float) -> None:
    errors = np.array([0, 0.5, 0.999, 1, 1.001, 2, -0.999, -1, -1.001], np.float32) * np.float32(beta)
    prediction = Prediction(jnp.asarray(errors).reshape(1, -1, 1))
    expected = [e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2 for e in errors.tolist()]
    losses = SmoothL1(beta)(prediction, jnp.zeros_like(prediction.landmarks))
    np.testing.assert_allclose(losses.ravel(), expected, rtol=1e-5)


def test_beta_1_is_half_of_mse_below_1() -> None:
    prediction = Prediction(jnp.linspace(-0.9, 0.9, 19).reshape(1, -1, 1))
    zero = jnp.zeros_like(prediction.landmarks)
    np.testing.assert_allclose(SmoothL1()(prediction, zero), MSE()(prediction, zero) / 2, rtol=1e-6)


def losses_of(loss: Loss, errors: list[float]) -> list[float]:
    target = jnp.full((1, len(errors), 1), 0.25)
    return loss(Prediction(target + jnp.asarray(errors).reshape(target.shape)), target).ravel().tolist()


def test_wing_by_hand() -> None:
    # Pixels: 10 ln(1 + 2 / 2), at the corner 10 ln 6, above it one more a pixel.
    expected = [0, 10 * math.log(2), 10 * math.log(6), 10 * math.log(6) + 5]
    assert losses_of(Wing(), [0, 2 / 256, 10 / 256, -15 / 256]) == pytest.approx(expected, rel=1e-5)
    assert losses_of(Wing(pixels=1), [0.1]) == pytest.approx([10 * math.log(1.05)], rel=1e-5)


def test_soft_wing_by_hand() -> None:
    # |x| up to 2 pixels, from there 20 ln(1 + 2 |x|) + 2 - 20 ln 5.
    expected = [1, 2, 20 * math.log(11) + 2 - 20 * math.log(5)]
    assert losses_of(SoftWing(), [1 / 256, -2 / 256, 5 / 256]) == pytest.approx(expected, rel=1e-5)


def test_log_cosh_by_hand() -> None:
    assert losses_of(LogCosh(), [0, 1 / 256, -2 / 256, 1.0]) == pytest.approx(
        [0, math.log(math.cosh(1)), math.log(math.cosh(2)), 256 - math.log(2)], abs=1e-5
    )


def test_nll_is_a_gaussians() -> None:
    prediction = Prediction(jnp.array([[[0.5, 0.75]]], jnp.float32), jnp.log(jnp.array([[0.1]], jnp.float32)))
    target = jnp.array([[[0.4, 0.75]]])
    # scipy.stats.norm.logpdf([0.5, 0.75], [0.4, 0.75], 0.1)
    np.testing.assert_allclose(GaussianNLL()(prediction, target).ravel(), [-0.8836466, -1.3836466], rtol=1e-5)
    assert GaussianNLL.needs_sigma
    with pytest.raises(ValueError, match=r"model\.sigma"):
        GaussianNLL()(PREDICTED, TARGET)


@pytest.mark.parametrize("loss", [Wing(), SoftWing(), LogCosh()])
def test_losses_rise_without_steps(loss: Loss) -> None:
    values = np.array(losses_of(loss, np.linspace(0, 0.2, 2001).tolist()))
    steps = np.diff(values)
    assert (steps >= 0).all()
    assert steps.max() < 0.2 * 256 / 2000 * 10.5  # the steepest slope is soft wing's and wing's w / epsilon


def test_every_loss_is_found_by_name_and_keeps_its_parameters() -> None:
    assert set(Loss.members) == {"mse", "mae", "smooth_l1", "wing", "soft_wing", "log_cosh", "nll"}
    for name, kind in Loss.members.items():
        loss = kind(**{field.name: 0.5 for field in dataclasses.fields(kind)})
        assert to_dict(loss)["name"] == name
        assert from_dict(to_dict(loss), Loss) == loss
        assert all(len(part) > 3 for part in loss.formula)
        assert loss.title.startswith(name)


def test_the_published_formulas_constants_are_in_the_formula_that_reports_show() -> None:
    """What `formula` says is what `__call__` computes, at some errors in pixels."""
    log = math.log
    for error in (0.5, 1.9, 3.0, 9.0, 12.0):
        wing = 10 * log(1 + error / 2) if error < 10 else error - 10 + 10 * log(6)
        soft = error if error < 2 else 20 * log(1 + 2 * error) + 2 - 20 * log(5)
        assert losses_of(Wing(), [error / 256]) == pytest.approx([wing], rel=1e-4)
        assert losses_of(SoftWing(), [error / 256]) == pytest.approx([soft], rel=1e-4)


@pytest.mark.parametrize(("loss", "field"), [(SmoothL1(0.0), "beta"), (Wing(math.inf), "pixels")])
def test_parameters_out_of_their_bounds_are_named(loss: Loss, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_bounds(loss, "loss.")
    assert caught.value.field == f"loss.{field}"


def test_names_that_are_no_loss() -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict({"name": "l3"}, Loss)
    assert caught.value.field == "name"


@pytest.mark.parametrize("shape", [(), (4,), (4, 5), (4, 5, 1), (4, 1, 2)])
def test_a_loss_with_a_result_of_another_shape(shape: tuple[int, ...]) -> None:
    points = jnp.zeros((4, 5, 2))
    with pytest.raises(ConfigError) as caught:
        face_losses(lambda prediction, target: jnp.zeros(shape), Prediction(points), points)  # type: ignore[arg-type]
    assert caught.value.field == "loss.name"


def test_a_face_is_measured_on_the_points_that_it_has() -> None:
    # The first point has the errors 0 and 0.25, the second 0.5 and 2.
    for missing, expected in (([], 2.75 / 4), ([1], 0.125), ([0], 1.25), ([0, 1], 0)):
        target = TARGET.at[:, np.array(missing, int)].set(jnp.nan)
        np.testing.assert_allclose(face_losses(MAE(), PREDICTED, target), [expected])


@dataclasses.dataclass(frozen=True)
class Distance:
    """A loss without a derivative where there is no error."""

    def __call__(self, prediction: Prediction, target: jax.Array) -> jax.Array:
        return jnp.broadcast_to(jnp.linalg.norm(prediction.landmarks - target, axis=-1, keepdims=True), target.shape)


@pytest.mark.parametrize("loss", [*(kind() for kind in Loss.members.values()), Distance()], ids=lambda loss: type(loss))
def test_a_missing_point_gives_no_gradient_and_the_others_the_one_of_a_mean_over_them(loss: Loss) -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(size=(3, 68, 2)).astype(np.float32)
    there = rng.uniform(size=(3, 68)) < 0.7
    near = (target + rng.normal(0, 0.05, target.shape)).astype(np.float32)
    prediction = Prediction(jnp.asarray(near), jnp.asarray(rng.normal(-3, 1, (3, 68)), jnp.float32))

    def total(prediction: Prediction, target: jax.Array) -> jax.Array:
        return face_losses(loss, prediction, target).sum()

    def by_hand(prediction: Prediction, target: jax.Array) -> jax.Array:
        return sum(loss(prediction, target)[i, np.flatnonzero(there[i])].mean() for i in range(3))

    holes = np.where(there[..., None], target, np.nan)
    value, gradient = jax.jit(jax.value_and_grad(total))(prediction, jnp.asarray(holes))
    expected, expected_gradient = jax.value_and_grad(by_hand)(prediction, jnp.asarray(target))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for name in ("landmarks", "log_sigma"):
        found, wanted = (np.asarray(getattr(g, name), np.float32) for g in (gradient, expected_gradient))
        assert not found[~there].any()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("loss", [kind() for kind in Loss.members.values()], ids=lambda loss: loss.name)
def test_a_whole_face_has_the_bits_of_a_plain_mean(loss: Loss) -> None:
    rng = np.random.default_rng(1)
    target = jnp.asarray(rng.uniform(size=(16, 68, 2)), jnp.float32)
    prediction = Prediction(
        target + jnp.asarray(rng.normal(0, 0.05, target.shape), jnp.float32), jnp.full((16, 68), -3.0, jnp.float32)
    )

    def plain(prediction: Prediction, target: jax.Array) -> jax.Array:
        return loss(prediction, target).reshape(16, -1).mean(axis=1)

    def masked(prediction: Prediction, target: jax.Array) -> jax.Array:
        return face_losses(loss, prediction, target)

    found, expected = (
        jax.jit(jax.value_and_grad(lambda prediction, f=f: f(prediction, target).mean()))(prediction)
        for f in (masked, plain)
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    np.testing.assert_array_equal(jax.jit(masked)(prediction, target), jax.jit(plain)(prediction, target))


def test_a_title_shows_fields_of_any_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loss, "members", dict(Loss.members))

    @dataclasses.dataclass(frozen=True)
    class Odd(Loss):
        name = "test_odd"
        kind: str = "soft"
        width: float = 0.5
        ends: tuple[int, int] = (1, 2)
        masked: bool = True
        limit: float | None = None

    assert Odd().title == "test_odd (kind soft, width 0.5, ends (1, 2), masked True, limit None)"


def test_visibility_loss_by_hand() -> None:
    logits = jnp.array([[0.0, math.log(3)], [math.log(3), 50.0], [1.0, 2.0]])
    visible = jnp.array([[1.0, 0.0], [1.0, jnp.nan], [jnp.nan, jnp.nan]])
    # Probabilities 1/2 and 3/4: -ln(1/2), -ln(1/4); -ln(3/4); nothing known.
    expected = [(math.log(2) + math.log(4)) / 2, math.log(4 / 3), 0]
    np.testing.assert_allclose(visibility_losses(logits, visible), expected, rtol=1e-6)


def test_unknown_visibility_gives_no_gradient() -> None:
    visible = jnp.array([[1.0, jnp.nan, 0.0]])
    slopes = jax.grad(lambda logit: visibility_losses(logit, visible).sum())(jnp.zeros((1, 3)))
    np.testing.assert_allclose(slopes, [[-0.25, 0, 0.25]])
