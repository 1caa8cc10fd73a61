"""Statistics of BatchNorm for validation, computed anew while a run is young."""

import itertools
from contextlib import closing

import jax
import numpy as np

from flaxmark.models.batch_norm import Variables
from flaxmark.training.run_setup import VALIDATION_STEPS, Run

BATCHES = 20
"""Training batches that the statistics are computed from."""


def variables_to_validate(run: Run) -> Variables:
    """Variables of the state that are validated and kept as best.

    In the first steps the weights move faster than the running averages follow, and validation would measure nothing
    but that. There the statistics are those of the run's first batches with the weights as they are now, "precise
    BatchNorm": Wu and Johnson, 2021 (arXiv:2105.07576). That holds for weights that were trained before, too: their
    averages are of other faces, often at another size. Later the averages are better: they are of more batches. The
    state keeps its averages in any case, so that validation does not change training. Statistics that
    `model.freeze_batch_norm` keeps are validated as they are.
    """
    variables = run.state.eval_variables
    kept = not variables["batch_stats"] or run.config.model.freeze_batch_norm
    if kept or int(run.state.step) >= VALIDATION_STEPS:
        return variables
    with closing(run.feed.batches()) as batches:
        found = [
            # Every device has the same.
            jax.tree.map(lambda x: np.asarray(x)[0], run.statistics(variables, run.feed.faces, batch))
            for batch in itertools.islice(batches, BATCHES)
        ]
    means = jax.tree.map(lambda *values: np.mean(values, axis=0), *found)
    everywhere = jax.sharding.NamedSharding(run.mesh, jax.sharding.PartitionSpec())
    return variables | {"batch_stats": jax.device_put(means, everywhere)}
