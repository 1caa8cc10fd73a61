"""A profile of some steps of a run, for TensorBoard and Perfetto."""

from pathlib import Path

import jax


class StepProfiler:
    """Records a range of steps; with None it does nothing."""

    def __init__(self, steps: tuple[int, int] | None, folder: Path) -> None:
        """Record nothing yet.

        Args:
            steps: First and last step to record, from 1.
            folder: Gets `plugins/profile/<time>/` with `*.xplane.pb` (TensorBoard) and `perfetto_trace.json.gz`.
        """
        self._first, self._last = steps or (0, 0)
        self._folder = folder
        self._running = False

    def before(self, step: int) -> None:
        """Start before the first step of the range is dispatched.

        Args:
            step: The one about to be dispatched, from 1.
        """
        if step == self._first:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True

    def after(self, step: int, result: object) -> None:
        """Stop when the last step of the range is done.

        Args:
            step: The one dispatched, from 1.
            result: Its arrays, waited for only where the profile ends.
        """
        if step == self._last and self._running:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Write what was recorded, also of a range cut short."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
