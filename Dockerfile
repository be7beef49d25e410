# The program as an image, for CPUs and for GPUs: docs/kubernetes.md.
#   docker build -t tune-search .
#   docker build -t tune-search --build-arg BASE=nvidia/cuda:12.9.1-base-ubuntu24.04 .
ARG BASE=python:3.11-slim
FROM ${BASE}

# The Python of Debian or Ubuntu where the base has none. KubeRay's probes call wget.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash wget \
    && { command -v python3 >/dev/null || apt-get install -y --no-install-recommends python3 python3-venv; } \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "this base has Python " + sys.version)'

# Other wheels of torch, or a mirror: --build-arg PIP_INDEX_URL=… or PIP_EXTRA_INDEX_URL=…, which pip reads.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# `tune-search[transformers]` and the like: --build-arg EXTRAS=transformers,tiff
ARG EXTRAS=

COPY pyproject.toml constraints.txt README.md /tmp/source/
COPY search /tmp/source/search
COPY trainables /tmp/source/trainables
# A RayJob is submitted through Ray's dashboard, which `ray[default]` has and a search does not need.
RUN python3 -m venv /opt/tune-search \
    && /opt/tune-search/bin/pip install --no-cache-dir --disable-pip-version-check \
        -c /tmp/source/constraints.txt "/tmp/source${EXTRAS:+[$EXTRAS]}" "ray[default]" \
    && rm -rf /tmp/source

# A run's folder is its owner's alone, so that owner is the same in every pod.
RUN useradd --create-home --uid 1000 --user-group tune 2>/dev/null || true
ENV PATH=/opt/tune-search/bin:$PATH HOME=/home/tune RAY_USAGE_STATS_ENABLED=0
RUN mkdir -p /home/tune /work && chown 1000:1000 /home/tune /work
USER 1000:1000
WORKDIR /work
CMD ["tune-search", "--help"]
