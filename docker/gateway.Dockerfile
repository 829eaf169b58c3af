# The gateway: HTTP only. No torch, no weights, no pixels. Built from the repository's root:
#   docker build --file docker/gateway.Dockerfile --tag lutra-gateway .
ARG PYTHON=3.11.15

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/lutra
# Dependencies before sources: a change of the sources keeps this layer.
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python requirements.py gateway > requirements.txt \
    && pip --python /opt/lutra/bin/python install --constraint constraints.txt --requirement requirements.txt
# Of the models the Python files and the scores: weights, training and kernels stay out, and nothing is compiled.
COPY README.md LICENSE NOTICE ./
COPY models/*.py models/
COPY models/scores/ models/scores/
COPY workers/ workers/
COPY service/ service/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/lutra/bin/python install --config-settings wheel.cmake=false --no-deps .

FROM python:${PYTHON}-slim-bookworm
# The home folder is /tmp, the one place that can be written where the root file system is read-only.
RUN groupadd --gid 10001 lutra \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin lutra
COPY --from=build /opt/lutra /opt/lutra
ARG REVISION=unknown
ENV PATH=/opt/lutra/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LUTRA_BIND=0.0.0.0 \
    LUTRA_PORT=8000 \
    LUTRA_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Lutra gateway" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
CMD ["lutra", "gateway"]
