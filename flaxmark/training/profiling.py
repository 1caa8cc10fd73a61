"""Profiles of a range of training steps, for TensorBoard and Perfetto."""

from pathlib import Path

import jax


class StepProfiler:
    """Records a range of steps; does nothing where the range is None.

    The folder gets `plugins/profile/<time>/` with `*.xplane.pb` (TensorBoard) and `perfetto_trace.json.gz`.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path) -> None:
        """Prepare to record the first to the last step of `steps`, counted from 1."""
        self._first, self._last = steps or (0, 0)
        self._folder = folder
        self._running = False

    def before(self, step: int) -> None:
        """Start recording before the first step of the range is dispatched."""
        if step == self._first:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True

    def after(self, step: int, result: object) -> None:
        """Stop once the last step of the range is done; only there its result is waited for."""
        if step == self._last and self._running:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Write the profile, also where the range was cut short."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
