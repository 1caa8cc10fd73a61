"""Losses: elementwise, of a prediction and the true landmarks, both in crop units (sides of the crop).

A loss is one frozen dataclass: its fields are its parameters and flags, its name is used in configs and its formula in
reports. To add a loss, write one more class.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flaxmark.errors import ConfigError
from flaxmark.faces.missing import present
from flaxmark.models.heads import FIRST_SIGMA, Prediction
from flaxmark.schema import Choice, bounded

Points = Float[Array, "batch points 2"]


class Loss(Choice):
    """Base of all losses, which are chosen by name: a loss is a frozen dataclass with a `name` and `__call__`.

    Attributes:
        needs_sigma: Whether it uses `Prediction.log_sigma`, and so requires `model.sigma`.
    """

    default_name = "smooth_l1"
    needs_sigma = False

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """Loss of each coordinate.

        Args:
            prediction: Output of the network, crop units.
            target: True landmarks, crop units. Never NaN: points that an annotation does not have are left out of the
                mean afterwards.

        Returns:
            One value for each coordinate; training minimises their mean.
        """
        raise NotImplementedError

    @property
    def title(self) -> str:
        """Name and parameters for tables and figures."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        values = ", ".join(f"{name} {_short(value)}" for name, value in fields.items())
        return self.name + (f" ({values})" if values else "")

    @property
    def formula(self) -> tuple[str, str]:
        """The loss of one coordinate as a function of x_n and y_n, as TeX and as plain text."""
        return rf"\mathrm{{{self.name.replace('_', ' ')}}}(x_n, y_n)", f"{self.name}(xₙ, yₙ)"

    @classmethod
    def variants(cls) -> dict[str, dict[str, Any]]:
        """Name in sweeps -> fields, for each setting of this loss that sweeps distinguish."""
        return {cls.name: {}}

    @classmethod
    def upgrade(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Version 0.1 wrote `beta` and `pixels` of every loss."""
        own = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if name in own or name not in ("beta", "pixels")}


@dataclasses.dataclass(frozen=True)
class MSE(Loss):
    """Squared error."""

    name = "mse"

    @property
    def formula(self) -> tuple[str, str]:
        """(x - y)^2."""
        return r"(x_{n} - y_{n})^2", "(xₙ − yₙ)²"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`."""
        return jnp.square(prediction.landmarks - target)


@dataclasses.dataclass(frozen=True)
class MAE(Loss):
    """Absolute error."""

    name = "mae"

    @property
    def formula(self) -> tuple[str, str]:
        """|x - y|."""
        return r"|x_{n} - y_{n}|", "|xₙ − yₙ|"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`."""
        return jnp.abs(prediction.landmarks - target)


@dataclasses.dataclass(frozen=True)
class SmoothL1(Loss):
    """Quadratic for small errors, linear for large ones.

    Girshick, "Fast R-CNN", 2015 (arXiv:1504.08083), equation 3, with beta as in PyTorch's SmoothL1Loss.
    """

    name = "smooth_l1"

    beta: float = bounded(1.0, "(0, inf)")
    """Error at which the quadratic part ends, crop units; with 1, errors below 1 have mse / 2."""

    @classmethod
    def variants(cls) -> dict[str, dict[str, Any]]:
        """With beta 1, as in the original test report, and 0.02."""
        return {"smooth_l1": {"beta": 1.0}, "smooth_l1_0.02": {"beta": 0.02}}

    @property
    def formula(self) -> tuple[str, str]:
        """(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2."""
        square = "0.5 (x_{n} - y_{n})^2" if self.beta == 1 else rf"(x_{{n}} - y_{{n}})^2 / {2 * self.beta:g}"
        in_text = "0.5 (xₙ − yₙ)²" if self.beta == 1 else f"(xₙ − yₙ)² / {2 * self.beta:g}"
        tex = _cases(square, f"{self.beta:g}", f"|x_{{n}} - y_{{n}}| - {self.beta / 2:g}")
        return tex, f"{in_text} if |xₙ − yₙ| < {self.beta:g}, else |xₙ − yₙ| − {self.beta / 2:g}"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`."""
        error = jnp.abs(prediction.landmarks - target)
        return jnp.where(error < self.beta, 0.5 * jnp.square(error) / self.beta, error - 0.5 * self.beta)


@dataclasses.dataclass(frozen=True)
class Wing(Loss):
    """Logarithmic for small errors, linear for large ones.

    Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks", CVPR 2018
    (arXiv:1711.06753), equation 5, with its w = 10 and epsilon = 2.
    """

    name = "wing"
    width, epsilon = 10.0, 2.0  # pixels

    pixels: float = bounded(256.0, "(0, inf) pixels")
    """Errors are measured in pixels of a crop of this side, the unit of the published constants."""

    @property
    def formula(self) -> tuple[str, str]:
        """w ln(1 + |x - y| / epsilon) where |x - y| < w, else |x - y| - w + w ln(1 + w / epsilon), in pixels."""
        tex = _cases(r"10 \ln(1 + |x_{n} - y_{n}| / 2)", "10", r"|x_{n} - y_{n}| - 10 + 10 \ln 6")
        return tex, "10 ln(1 + |xₙ − yₙ| / 2) if |xₙ − yₙ| < 10, else |xₙ − yₙ| − 10 + 10 ln 6;  pixels"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`, in pixels."""
        error = self.pixels * jnp.abs(prediction.landmarks - target)
        offset = self.width - self.width * math.log1p(self.width / self.epsilon)
        return jnp.where(error < self.width, self.width * jnp.log1p(error / self.epsilon), error - offset)


@dataclasses.dataclass(frozen=True)
class SoftWing(Loss):
    """Linear for small errors, logarithmic for large ones.

    Lin et al., "Structure-Coherent Deep Feature Learning for Robust Face Alignment", IEEE Transactions on Image
    Processing 2021, with its w1 = 2, w2 = 20 and epsilon = 0.5.
    """

    name = "soft_wing"
    linear, width, epsilon = 2.0, 20.0, 0.5  # pixels

    pixels: float = bounded(256.0, "(0, inf) pixels")
    """Errors are measured in pixels of a crop of this side, the unit of the published constants."""

    @property
    def formula(self) -> tuple[str, str]:
        """|x - y| where |x - y| < w1, else w2 ln(1 + |x - y| / epsilon) + B, B making it continuous, in pixels."""
        tex = _cases("|x_{n} - y_{n}|", "2", r"20 \ln(1 + 2 |x_{n} - y_{n}|) + 2 - 20 \ln 5")
        return tex, "|xₙ − yₙ| if |xₙ − yₙ| < 2, else 20 ln(1 + 2 |xₙ − yₙ|) + 2 − 20 ln 5;  pixels"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`, in pixels."""
        error = self.pixels * jnp.abs(prediction.landmarks - target)
        offset = self.linear - self.width * math.log1p(self.linear / self.epsilon)
        return jnp.where(error < self.linear, error, self.width * jnp.log1p(error / self.epsilon) + offset)


@dataclasses.dataclass(frozen=True)
class LogCosh(Loss):
    """Quadratic for small errors, linear for large ones, smooth everywhere.

    Neural networks as M-estimators, for example Chen et al., "Log Hyperbolic Cosine Loss Improves Variational
    Auto-Encoder", 2018.
    """

    name = "log_cosh"

    pixels: float = bounded(256.0, "(0, inf) pixels")
    """Errors are measured in pixels of a crop of this side."""

    @property
    def formula(self) -> tuple[str, str]:
        """ln cosh(x - y), in pixels: (x - y)^2 / 2 for small errors, |x - y| - ln 2 for large ones."""
        return r"\ln \cosh(x_{n} - y_{n})", "ln cosh(xₙ − yₙ);  pixels"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`."""
        error = self.pixels * jnp.abs(prediction.landmarks - target)
        return error + jnp.log1p(jnp.exp(-2 * error)) - math.log(2)


@dataclasses.dataclass(frozen=True)
class GaussianNLL(Loss):
    """Negative log likelihood of a Gaussian with a learnt sigma for each point; requires `model.sigma`.

    Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994; both
    coordinates of a point share its sigma.
    """

    name = "nll"
    needs_sigma = True

    @property
    def formula(self) -> tuple[str, str]:
        """(x - y)^2 / (2 sigma^2) + ln sigma + ln(2 pi) / 2."""
        tex = r"\frac{(x_{n} - y_{n})^2}{2 \sigma_n^2} + \ln \sigma_n + \frac{\ln 2 \pi}{2}"
        return tex, "(xₙ − yₙ)² / (2 σₙ²) + ln σₙ + ln(2π) / 2"

    def __call__(self, prediction: Prediction, target: Points) -> Points:
        """As `Loss.__call__`; negative if errors and sigma are small."""
        if prediction.log_sigma is None:
            raise ValueError("nll needs a network with sigma: model.sigma")
        log_sigma = prediction.log_sigma[..., None]
        scaled = (prediction.landmarks - target) * jnp.exp(-log_sigma)
        return 0.5 * jnp.square(scaled) + log_sigma + 0.5 * math.log(2 * math.pi)


def visibility_losses(
    logit: Float[Array, "batch points"], visible: Float[Array, "batch points"]
) -> Float[Array, " batch"]:
    """Mean cross-entropy of each face over the points of which `visible` says 1 (seen) or 0 (hidden), not NaN.

    It is 0 where nothing is known.
    """
    known = visible == visible
    losses = jax.nn.softplus(logit) - logit * jnp.where(known, visible, 0)
    return jnp.where(known, losses, 0).sum(axis=1) / jnp.maximum(known.sum(axis=1), 1).astype(losses.dtype)


def _cases(small: str, end: str, large: str) -> str:
    """TeX of a formula in two parts: for errors below `end` and above."""
    condition = rf"\text{{if }} |x_{{n}} - y_{{n}}| < {end}"
    return rf"\begin{{cases}} {small}, & {condition} \\ {large}, & \text{{otherwise}} \end{{cases}}"


def _short(value: Any) -> str:
    """A number with at most six digits, anything else as it is."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def face_losses(loss: Loss, prediction: Prediction, target: Points) -> Float[Array, " batch"]:
    """Mean loss of each face over the points that it has; missing points are NaN in the target.

    They give no gradient, whatever the loss. Raises ConfigError where a loss did not return one value for each
    coordinate.
    """
    there = present(target)
    # An ordinary error, so that every loss and its derivative are finite there: NaN times 0 would be NaN.
    stand_in = jax.lax.stop_gradient(prediction.landmarks) + FIRST_SIGMA
    losses = loss(prediction, jnp.where(there[..., None], target, stand_in.astype(target.dtype)))
    if jnp.shape(losses) != jnp.shape(target):
        reason = (
            "must return an array [batch, points, 2], a value for each coordinate, "
            f"not one of shape {list(jnp.shape(losses))}"
        )
        raise ConfigError(reason, field="loss.name")
    of_all = jnp.where(there[..., None], losses, 0).reshape(losses.shape[0], -1).mean(axis=1)
    # A factor, which is exactly 1 for whole faces: they have the bits of a plain mean.
    return of_all * (there.shape[1] / jnp.maximum(there.sum(axis=1), 1).astype(of_all.dtype))
