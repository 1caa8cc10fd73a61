"""Networks that a test runs once or twice: what counts is a short compilation, not a fast program."""

import functools

import jax

quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
