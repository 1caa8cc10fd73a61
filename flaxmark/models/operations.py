"""The operations that take most of a ResNet's time, in the form that each backend runs fast.

GPUs and TPUs use XLA's own; on CPUs some of them are several times slower than an equivalent form.
docs/results/speed.md lists the gain of each; tests/models/test_operations.py proves in float64 that they are the same.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Grouped = Float[Array, "groups batch height width channels"]
Channels = Float[Array, "groups channels"]
ChannelSums = Callable[[Grouped, Grouped], tuple[Channels, Channels]]


@dataclasses.dataclass(frozen=True)
class Operations:
    """Operations for the layers of a network; images are `[batch, height, width, channels]`.

    Attributes:
        conv: As `lax.conv_general_dilated`.
        max_pool: `x -> y`, 3x3 with stride 2, padded by 1.
        channel_sums: `(x, y) -> (sum of x, sum of x * y)` of each group and channel.
    """

    conv: Callable[..., jax.Array]
    max_pool: Callable[[jax.Array], jax.Array]
    channel_sums: ChannelSums


def make_operations(platform: str, gradients: bool = True) -> Operations:
    """The operations for a backend `cpu`, `gpu` or `tpu`: equivalent forms on CPUs, elsewhere XLA's own.

    Most of these forms only make gradients faster; without `gradients` they are not used.
    """
    if platform == "cpu" and gradients:
        return Operations(conv_cpu, max_pool_cpu, channel_sums_cpu)
    if platform == "cpu":
        return Operations(conv_cpu_forward, max_pool_xla, channel_sums_cpu)
    return Operations(lax.conv_general_dilated, max_pool_xla, channel_sums_xla)


def max_pool_xla(x: jax.Array) -> jax.Array:
    """Maximum of 3x3 pixels with stride 2."""
    window, strides, padding = (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)]
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def channel_sums_xla(x: Grouped, y: Grouped) -> tuple[Channels, Channels]:
    """Sums over all positions of all images in each group."""
    return x.sum(axis=(1, 2, 3)), (x * y).sum(axis=(1, 2, 3))


def conv_cpu(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **options: Any) -> jax.Array:
    """As `lax.conv_general_dilated`, in a form whose gradients XLA computes fast on CPUs."""
    if kernel.shape[:2] == (1, 1):
        # XLA's weight gradient of a 1x1 convolution has a window as large as the image.
        x = x[:, :: strides[0], :: strides[1]]
        return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:3], -1)
    if _output_size(x, kernel, strides, padding) < kernel.shape[0]:
        return _conv_by_patches(x, kernel, strides, padding)
    return lax.conv_general_dilated(x, kernel, strides, padding, **options)


def conv_cpu_forward(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **options: Any
) -> jax.Array:
    """As `lax.conv_general_dilated`, in a form that XLA computes fast on CPUs without gradients."""
    if min(x.shape[1:3]) < kernel.shape[0]:
        return _conv_by_patches(x, kernel, strides, padding)
    return lax.conv_general_dilated(x, kernel, strides, padding, **options)


def _output_size(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any) -> int:
    """The shorter side of a convolution's output."""
    sizes = zip(x.shape[1:3], kernel.shape[:2], strides, padding, strict=True)
    return min((size + sum(pads) - window) // stride + 1 for size, window, stride, pads in sizes)


def _conv_by_patches(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any) -> jax.Array:
    """One matrix product, for maps smaller than the kernel, where XLA runs plain loops, for gradients too."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = kernel.shape[:2]
    below, right = (size - window for size, window in zip(x.shape[1:3], (rows, columns), strict=True))
    patches = [
        x[:, row : row + below + 1 : strides[0], column : column + right + 1 : strides[1]]
        for row in range(rows)
        for column in range(columns)
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _interleave(pixels: Callable[[int, int], jax.Array]) -> jax.Array:
    """An image from its pixels on even and odd rows and columns, each `[batch, height, width, channels]`."""
    rows = [jnp.stack([pixels(row, column) for column in (0, 1)], axis=3) for row in (0, 1)]
    stacked = jnp.stack(rows, axis=2)
    batch, height, _, width, _, channels = stacked.shape
    return stacked.reshape(batch, 2 * height, 2 * width, channels)


@jax.custom_vjp
def max_pool_cpu(x: jax.Array) -> jax.Array:
    """Maxima of neighbours along rows, then columns; XLA's gradient of a window is a slow scatter.

    If several pixels of a window are its maximum, each gets the gradient, not only the first: after ReLU, whose
    gradient at 0 is 0, such ties are at 0 and change nothing.
    """
    return _pool_axis(_pool_axis(_make_even(x, -jnp.inf), 1), 2)


def _make_even(x: jax.Array, value: float) -> jax.Array:
    """Pad an odd number of rows or columns by one, below and at the right."""
    _, height, width, _ = x.shape
    return jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), constant_values=value)


def _pool_axis(x: jax.Array, axis: int) -> jax.Array:
    """Maximum of positions 2i - 1, 2i and 2i + 1 along an axis of even length."""
    pairs = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :])
    even, odd = (lax.index_in_dim(pairs, which, axis + 1, keepdims=False) for which in (0, 1))
    before = jnp.pad(lax.slice_in_dim(odd, 0, -1, axis=axis), [(int(a == axis), 0) for a in range(4)], mode="edge")
    return jnp.maximum(jnp.maximum(even, odd), before)


def _max_pool_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    y = max_pool_cpu(x)
    return y, (x, y)


def _max_pool_backward(saved: tuple[jax.Array, jax.Array], grad: jax.Array) -> tuple[jax.Array]:
    """Each pixel gathers from the windows that contain it, at most four, without a scatter."""
    x, y = saved
    batch, height, width, channels = x.shape
    rows, columns = y.shape[1:3]
    pairs = _make_even(x, -jnp.inf).reshape(batch, rows, 2, columns, 2, channels)
    # Beyond the last window there is one that no pixel is the maximum of.
    y = jnp.pad(y, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=jnp.inf)
    grad = jnp.pad(grad, ((0, 0), (0, 1), (0, 1), (0, 0)))

    def gather(row: int, column: int) -> jax.Array:
        """Gradient of pixels of one parity: even ones are in one window along an axis, odd ones in two."""
        pixels = pairs[:, :, row, :, column]
        total = jnp.zeros_like(pixels)
        for down in range(row + 1):
            for right in range(column + 1):
                window = (slice(None), slice(down, down + rows), slice(right, right + columns))
                total += jnp.where(pixels == y[window], grad[window], jnp.zeros((), grad.dtype))
        return total

    return (_interleave(gather)[:, :height, :width],)


max_pool_cpu.defvjp(_max_pool_forward, _max_pool_backward)


def channel_sums_cpu(x: Grouped, y: Grouped) -> tuple[Channels, Channels]:
    """Sums of x and of x * y of each group and channel, together and in two stages.

    XLA would not split a sum over all rows among cores, and would read the rows twice.
    """
    groups, _, height, width, channels = x.shape
    # XLA would sum more than 32 at a time by windows, after storing the products.
    run = next(size for size in range(32, 0, -1) if height * width % size == 0)
    x, y = (array.reshape(groups, -1, run, channels) for array in (x, y))
    zero = np.zeros((), x.dtype)
    partial = lax.reduce((x, x * y), (zero, zero), lambda a, b: (a[0] + b[0], a[1] + b[1]), (2,))
    # Without the barrier XLA merges the two stages again.
    total, product = lax.optimization_barrier(partial)
    return total.sum(axis=1), product.sum(axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def channel_moments(x: Grouped, channel_sums: ChannelSums) -> tuple[Channels, Channels]:
    """Sum and sum of squares of each channel in each group."""
    return channel_sums(x, x)


def _moments_forward(x: jax.Array, channel_sums: ChannelSums) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    return channel_sums(x, x), x


def _moments_backward(_: ChannelSums, x: jax.Array, grads: tuple[jax.Array, jax.Array]) -> tuple[jax.Array]:
    total, square = (_spread(grad) for grad in grads)
    return (total + 2 * square * x,)


channel_moments.defvjp(_moments_forward, _moments_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def channel_affine(x: Grouped, factor: Channels, shift: Channels, channel_sums: ChannelSums) -> Grouped:
    """Scale and shift the channels of each group; the gradients of both are channel sums."""
    return x * _spread(factor) + _spread(shift)


def _affine_forward(
    x: jax.Array, factor: jax.Array, shift: jax.Array, _: ChannelSums
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x * _spread(factor) + _spread(shift), (x, factor)


def _affine_backward(
    channel_sums: ChannelSums, saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, factor = saved
    shift_grad, factor_grad = channel_sums(grad, x)
    return grad * _spread(factor), factor_grad, shift_grad


channel_affine.defvjp(_affine_forward, _affine_backward)


def _spread(values: Channels) -> Float[Array, "groups 1 1 1 channels"]:
    """Add the axes that broadcast over positions."""
    return values[:, None, None, None]
