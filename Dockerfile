# syntax=docker/dockerfile:1
# sirtjax with its models, for a CPU. Needs no network at run time.
#
#   docker build --tag sirtjax .
#   docker run --rm --network none -v "$PWD:/data" sirtjax plan case.toml -o plan
#   docker run --rm --network host -v "$PWD:/data" sirtjax review plan --no-browser
#   docker run --rm -p 11112:11112 -v "$PWD:/data" -v sirtjax-state:/var/lib/sirtjax sirtjax serve service.toml
#
# The page of `review` answers on 127.0.0.1 only, therefore it needs the network of the host.
#
# The container runs as user 1000. If your files belong to another user, add --user "$(id -u):$(id -g)": every user may
# write to the folders for state and cache.
ARG PYTHON=docker.io/library/python:3.12-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /source
COPY . .
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir "build>=1.2" \
    && /opt/build/bin/python -m build --wheel --outdir /wheel . \
    && python3 -m venv /opt/sirtjax \
    && /opt/sirtjax/bin/python -m pip install --no-cache-dir "$(ls /wheel/*.whl)[service]"

FROM ${PYTHON}
COPY --from=build /opt/sirtjax /opt/sirtjax
# Compiled programs are kept in the cache folder; name a volume for it to keep them between runs.
ENV PATH=/opt/sirtjax/bin:$PATH \
    JAX_PLATFORMS=cpu \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/var/cache/sirtjax/matplotlib \
    XDG_CACHE_HOME=/var/cache/sirtjax \
    XDG_CONFIG_HOME=/var/lib/sirtjax/config \
    XDG_DATA_HOME=/var/lib/sirtjax/data
RUN useradd --uid 1000 --user-group --create-home sirtjax \
    && install --directory --owner=sirtjax --mode=1777 /data /var/lib/sirtjax /var/cache/sirtjax
USER 1000:1000
WORKDIR /data
EXPOSE 11112
ENTRYPOINT ["sirtjax"]
CMD ["--help"]
