# The image of every service, and of the doubles: one recipe, told which by its arguments.
#
#   docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=services/orders --build-arg COMMAND=rappit-orders .
#
# One file instead of services/*/Dockerfile: a Dockerfile cannot include another, so six of them would be six copies that
# drift. What differs between services is their lock and their wheel, and both are data. A service that ever needs
# something of its own (a system library) gets its own file then. The context is the repository; see .dockerignore.

# Slim, with pip and a Python of 3.11 or later, and the same in both stages: the environment is copied, not rebuilt.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# --- What builds: never in the image that runs. It depends on the lock only, so all services share these layers.
FROM ${PYTHON_IMAGE} AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
COPY requirements.lock /build/
# uv and the build backend, at the workspace's locked versions and hashes. The secret `ca` is an optional bundle of
# certificates for builds behind a private authority; it leaves no trace in a layer.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && awk '/^[a-z0-9]/ {on = /^(uv|hatchling|packaging|pathspec|pluggy|trove-classifiers)==/} on' \
        /build/requirements.lock >/build/tools.lock \
    && python -m venv /opt/tools \
    && /opt/tools/bin/pip install --quiet --no-deps --require-hashes -r /build/tools.lock

# --- The service's environment: its own locked dependencies, then the wheels of the workspace's packages.
FROM tools AS builder
ARG SERVICE
# Workspace packages the service is built on, in the order they are installed.
ARG LIBRARIES=libs/common
ARG COMMAND
ENV UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/opt/rappit
COPY ${SERVICE}/requirements.lock /build/service.lock
# --no-deps: the lock is complete, and leaves out on purpose what a package asks for and we never load (Django).
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache/uv \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
    && /opt/tools/bin/uv venv --quiet --python "$(command -v python)" "${VIRTUAL_ENV}" \
    && /opt/tools/bin/uv pip install --quiet --no-deps --no-build --require-hashes -r /build/service.lock
COPY deploy/docker/prune /build/
RUN sh /build/prune "${VIRTUAL_ENV}"
COPY libs /build/src/libs
COPY ${SERVICE} /build/src/${SERVICE}
RUN for package in ${LIBRARIES} "${SERVICE}"; do \
        (cd "/build/src/${package}" && /opt/tools/bin/python -m hatchling build --target wheel --directory /build/wheels) || exit 1; \
    done \
    && /opt/tools/bin/uv pip install --quiet --offline --no-deps /build/wheels/*.whl \
    # One name to start every image by, since ENTRYPOINT knows no arguments; what cannot start fails here already.
    && "${VIRTUAL_ENV}/bin/${COMMAND}" --help >/dev/null && ln -s "${COMMAND}" "${VIRTUAL_ENV}/bin/service"

# --- What runs: Python, the environment, nothing that installs or compiles.
FROM ${PYTHON_IMAGE} AS runtime
ARG SERVICE
ARG COMMAND
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="${COMMAND}" \
      org.opencontainers.image.description="Rappit: ${SERVICE}" \
      org.opencontainers.image.vendor="Rappit" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# pip stays behind in the layer below, out of reach. The user has a name because libraries look it up, and no home.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip \
    && echo 'rappit:x:10001:' >>/etc/group \
    && echo 'rappit:x:10001:10001:Rappit:/nonexistent:/usr/sbin/nologin' >>/etc/passwd
COPY --from=builder /opt/rappit /opt/rappit
COPY deploy/docker/healthcheck /opt/rappit/healthcheck
# Bytecode is compiled above; the root may be read-only. Only /tmp is ever written to.
ENV PATH=/opt/rappit/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HTTP_PORT=8000
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-IS", "/opt/rappit/healthcheck", "/health/live"]
ENTRYPOINT ["/opt/rappit/bin/service"]
CMD ["serve"]
