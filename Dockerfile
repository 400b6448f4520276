# Two images with the released model, of layers that they share: `worker`, which is what `docker build` makes unless told
# otherwise, and `trainer`, by `--target trainer`. What training needs on top, some 600 MB, would only be carried along by
# every worker that is started; and a change of our code alone makes anew the last layers of both, of a few MB.
#
# PyTorch comes from the default index, on Linux as the CUDA build: 5 GB, which runs on a CPU too. For an image of a
# fifth of that, hand in the index of the CPU wheels, which PyTorch's own page "Get Started: Start Locally" names
# under Compute Platform "CPU":
#
#     docker build --build-arg TORCH_INDEX_URL=... -t asr-emotions .

FROM python:3.12-slim AS requirements

# What the next stages copy from here is the same, and they are not made anew, while no dependency has changed.
WORKDIR /requirements
COPY pyproject.toml .
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
training = [line for line in extras['excel'] + extras['onnx'] + extras['training'] if 'asr-emotions' not in line]; \
open('worker.txt', 'w').write('\n'.join(project['dependencies'] + extras['report'])); \
open('training.txt', 'w').write('\n'.join(training))"


FROM python:3.12-slim AS dependencies

ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build

RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH

# ONNX Runtime is for bundles with an ONNX file, which it runs faster than PyTorch on a CPU.
COPY constraints.txt ./
COPY --from=requirements /requirements/worker.txt ./
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --no-deps --index-url "$TORCH_INDEX_URL" --constraint constraints.txt torch; \
    fi \
    && pip install --constraint constraints.txt --requirement worker.txt onnxruntime


FROM dependencies AS package

COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY pages pages
COPY registry registry
COPY worker worker
COPY training training
COPY migrations migrations
RUN pip wheel --no-deps --wheel-dir /wheels .


FROM python:3.12-slim AS base

# /tmp is all that has to be writable: the rest works under `docker run --read-only --tmpfs /tmp`.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    WORKER_HTTP_HOST=0.0.0.0 \
    WORKER_HTTP_PORT=8080

# A volume that is mounted over such a folder for the first time gets its owner.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin worker \
    && install --directory --owner 10001 /var/lib/asr-emotions/bundles /var/lib/asr-emotions/work
WORKDIR /app
COPY --from=dependencies /venv /venv
# The worker serves it until a model of the registry is promoted; WORKER_MODEL would pin it.
COPY models /venv/share/asr-emotions/models
STOPSIGNAL SIGTERM


FROM base AS trainer

COPY constraints.txt ./
COPY --from=requirements /requirements/training.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement training.txt
COPY --from=package /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl

ENV TRAINING_WORK=/var/lib/asr-emotions/work \
    HF_HOME=/var/lib/asr-emotions/work/hub
USER 10001
ENTRYPOINT ["emotion-training"]
CMD ["schedule"]


FROM base AS worker

COPY --from=package /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl

USER 10001
EXPOSE 8080
# Loading the model may take a while on a slow disk; until then a failing check does not count.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['WORKER_HTTP_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["emotion-worker"]
CMD ["run"]
