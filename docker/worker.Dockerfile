# The worker, for the CPU or for NVIDIA GPUs: the same file, another torch. Built from the repository's root:
#   docker build --file docker/worker.Dockerfile --tag lutra-worker .
#   docker build --file docker/worker.Dockerfile --tag lutra-worker-gpu --build-arg TORCH_INDEX= .
ARG PYTHON=3.11.15

# The build stage is the full image: it has a compiler, for the CPU kernels and what has no wheel for this processor.
FROM python:${PYTHON}-bookworm AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/lutra
COPY pyproject.toml constraints.txt docker/requirements.py ./
# Torch first and alone, from the index named here (default: torch's own, of wheels without CUDA). Nothing else is taken
# from that index. Empty: the default index, whose torch asks for the CUDA libraries, gigabytes of them.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/lutra/bin/python install --constraint constraints.txt --no-deps \
        ${TORCH_INDEX:+--index-url="${TORCH_INDEX}"} torch
# With any torch but that of the CPU's index goes what compiles the CUDA kernels.
RUN --mount=type=cache,target=/root/.cache/pip \
    case "${TORCH_INDEX}" in */cpu) set -- worker ;; *) set -- worker cuda ;; esac \
    && python requirements.py "$@" > requirements.txt \
    && pip --python /opt/lutra/bin/python install --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE NOTICE CMakeLists.txt ./
COPY kernels/ kernels/
COPY models/ models/
COPY workers/ workers/
COPY service/ service/
# Here kernels that do not build are an error: an image is not to be slow in silence.
RUN --mount=type=cache,target=/root/.cache/pip \
    REQUIRE_KERNELS=1 pip --python /opt/lutra/bin/python install --no-deps .

FROM python:${PYTHON}-slim-bookworm
# The home folder is /tmp, the one place that can be written where the root file system is read-only.
RUN groupadd --gid 10001 lutra \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin lutra
COPY --from=build /opt/lutra /opt/lutra
ARG REVISION=unknown
# LUTRA_BIND is where the worker serves its metrics.
ENV PATH=/opt/lutra/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LUTRA_BIND=0.0.0.0 \
    LUTRA_METRICS_PORT=9101 \
    LUTRA_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Lutra worker" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /tmp
EXPOSE 9101
CMD ["lutra", "worker"]
