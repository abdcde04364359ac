# facegen with a GPU:   docker build -t facegen . && docker run --rm --gpus all -v "$PWD:/work" facegen run
# PyPI's torch brings the CUDA libraries it was built with; the base lets the driver in.
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04

# torch.compile needs a C compiler and Python's headers.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        gcc g++ python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/facegen/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1

# The dependencies first, with a stub of the package: they are large and change seldom, so that a change of the code
# rebuilds little.
RUN python3 -m venv /opt/facegen
COPY pyproject.toml README.md LICENSE /src/
RUN mkdir /src/facegen && echo '__version__ = "0"' > /src/facegen/__init__.py && pip install /src
COPY facegen /src/facegen
RUN pip install --no-deps --force-reinstall /src

RUN useradd --create-home --uid 10001 facegen && install --directory --owner facegen /work
USER facegen
WORKDIR /work
ENTRYPOINT ["facegen"]
CMD ["--help"]
