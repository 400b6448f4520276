# The worker, with the released model.
#
# PyTorch comes from the default index, on Linux as the CUDA build: 5 GB, which runs on a CPU too. For an image of a
# fifth of that, hand in the index of the CPU wheels, which PyTorch's own page "Get Started: Start Locally" names
# under Compute Platform "CPU":
#
#     docker build --build-arg TORCH_INDEX_URL=... -t asr-emotions .

FROM python:3.12-slim AS build

ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build

RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH

# The dependencies alone come first, so that a change of our code does not install them again. ONNX Runtime is for
# bundles with an ONNX file, which it runs faster than PyTorch on a CPU.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --no-deps --index-url "$TORCH_INDEX_URL" --constraint constraints.txt torch; \
    fi \
    && pip install --constraint constraints.txt --requirement requirements.txt onnxruntime

COPY README.md LICENSE ./
COPY schemas schemas
COPY worker worker
COPY training training
COPY migrations migrations
RUN pip install --no-deps .


FROM python:3.12-slim

# /tmp is all that has to be writable: the rest works under `docker run --read-only --tmpfs /tmp`.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    WORKER_MODEL=/app/models/ru-emotions-small \
    WORKER_HTTP_HOST=0.0.0.0 \
    WORKER_HTTP_PORT=8080

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin worker
WORKDIR /app
COPY --from=build /venv /venv
COPY models models

USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Loading the model may take a while on a slow disk; until then a failing check does not count.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['WORKER_HTTP_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["emotion-worker"]
CMD ["run"]
