# The tested set of packages, by hash. Accelerators: docker build --build-arg EXTRA=cuda13 (or tpu).
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /flaxmark
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock
COPY . .
ARG EXTRA=""
RUN pip install --no-deps --editable . \
    && if [ -n "$EXTRA" ]; then pip install "jax[$EXTRA]==$(python -c 'import jax; print(jax.__version__)')"; fi \
    && useradd --uid 1000 --create-home faces && mkdir runs && chown 1000 runs
USER 1000
CMD ["flaxmark", "--help"]
