# Two images with the released model, of layers that they share: `worker`, which is what `docker build` makes unless told
# otherwise, and `trainer`, by `--target trainer`. What training needs on top, some 600 MB, would only be carried along by
# every worker that is started; and a change of our code alone makes anew the last layers of both, of a few MB.
#
# Dependencies are those of requirements/*.txt, each with its hashes; `make lock` writes these files.
#
# PyTorch comes from the default index, on Linux as the CUDA build, which runs on a CPU too: 4.3 GB with its libraries.
# Without CUDA it has 0.7 GB, all other packages of the worker 0.5 GB, and the models 0.1 GB, so an image for CPUs has
# less than 2 GB. For that hand in the index of the CPU wheels, which PyTorch's own page "Get Started: Start
# Locally" names under Compute Platform "CPU", and the SHA-256 that it lists for the wheel:
#
#     docker build --build-arg TORCH_INDEX_URL=... --build-arg TORCH_SHA256=... -t asr-emotions .

FROM python:3.12-slim AS dependencies

ARG TORCH_INDEX_URL=""
ARG TORCH_SHA256=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_DEPS=1
WORKDIR /build

RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH

# What compiles against PyTorch or makes kernels at run time is left out: headers, static libraries and, in the list
# itself, Triton, which torch.compile alone needs.
COPY requirements/torch.txt requirements/worker.txt ./
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        sed -n 's/^\(torch==[^ ]*\).*/\1/p' torch.txt > cpu.txt \
        && if [ -n "$TORCH_SHA256" ]; then sed -i "s/$/ --hash=sha256:$TORCH_SHA256/" cpu.txt; fi \
        && pip install --index-url "$TORCH_INDEX_URL" --requirement cpu.txt; \
    else \
        pip install --require-hashes --requirement torch.txt; \
    fi \
    && pip install --require-hashes --requirement worker.txt \
    && find /venv -name '*.a' -delete \
    && rm -rf /venv/lib/python3.12/site-packages/torch/include \
    && find /venv/lib/python3.12/site-packages -path '*/nvidia/*' -type d -name include -prune -exec rm -rf {} +


FROM dependencies AS package

COPY requirements/build.txt ./
RUN pip install --require-hashes --requirement build.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY pages pages
COPY registry registry
COPY worker worker
COPY training training
COPY migrations migrations
RUN pip wheel --no-build-isolation --wheel-dir /wheels .


FROM python:3.12-slim AS base

# /tmp is all that has to be writable: the rest works under `docker run --read-only --tmpfs /tmp`. Such a /tmp is memory,
# so models that are downloaded lie elsewhere.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HF_HOME=/var/lib/asr-emotions/cache/hub \
    WORKER_MODEL_CACHE=/var/lib/asr-emotions/cache \
    WORKER_HTTP_HOST=0.0.0.0 \
    WORKER_HTTP_PORT=8080

# A volume that is mounted over such a folder for the first time gets its owner.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin worker \
    && install --directory --owner 10001 /var/lib/asr-emotions/bundles /var/lib/asr-emotions/cache \
        /var/lib/asr-emotions/work
WORKDIR /app
COPY --from=dependencies /venv /venv
# The worker serves it until a model of the registry is promoted; WORKER_MODEL would pin it.
COPY models /venv/share/asr-emotions/models
STOPSIGNAL SIGTERM


FROM base AS trainer

COPY requirements/trainer.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement trainer.txt
COPY --from=package /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl

# Temporary files are checkpoints and downloaded models: they lie on the disk too.
ENV TRAINING_WORK=/var/lib/asr-emotions/work \
    TMPDIR=/var/lib/asr-emotions/work \
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
