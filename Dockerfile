# Two images: who only checks proofs takes `verifier`, the owner of a model `server`.
#   docker build --target verifier -t veracity-verifier .
#   docker build --target server -t veracity-server .
# docs/howto/run-in-a-container.md says how to run them. What is built here is what `.dockerignore`
# lets in: sources, never a model of yours, a secret or a key.
ARG PYTHON=python:3.12-slim-bookworm
ARG RUST=rust:1.89-slim-bookworm

FROM ${RUST} AS wheel
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN /source/docker/build.sh /source /wheels

FROM ${PYTHON} AS verifier-environment
COPY requirements/constraints.txt docker/install.sh /install/
COPY --from=wheel /wheels /wheels
RUN /install/install.sh verifier /wheels /install/constraints.txt /opt/veracity

FROM ${PYTHON} AS server-environment
COPY requirements/constraints.txt docker/install.sh /install/
COPY --from=wheel /wheels /wheels
RUN /install/install.sh server /wheels /install/constraints.txt /opt/veracity

FROM ${PYTHON} AS base
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin veracity \
    && install --directory --owner veracity --group veracity --mode 0700 /state
ENV PATH=/opt/veracity/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    VERACITY_CACHE=/tmp/veracity
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["veracity"]

FROM base AS verifier
COPY --from=verifier-environment /opt/veracity /opt/veracity
CMD ["verify", "--help"]

FROM base AS server
COPY --from=server-environment /opt/veracity /opt/veracity
VOLUME /state
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["serve", "--help"]
