# What every image has: Python, the user, and what sftjobs itself needs (requirements/core.txt).
# Any Debian with Python 3.11 or newer, venv and pip will do.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
RUN groupadd --gid 10001 sftjobs && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp sftjobs

# pip stays outside of the environment: nothing is installed in a running container.
RUN python3 -m venv --without-pip /opt/venv \
 && echo /opt/sftjobs > "$(/opt/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/sftjobs.pth"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin

COPY requirements/core.txt /opt/sftjobs/requirements/
# Of the Kubernetes client: its copy for asyncio, which nothing here imports, and byte code of thousands of modules of
# which a handful is used (the image of the controller compiles those), are 90 of 130 MB.
ARG PIP_INDEX_URL
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps -r /opt/sftjobs/requirements/core.txt \
 && rm -r /opt/venv/lib/python3*/site-packages/kubernetes/aio \
 && find /opt/venv/lib/python3*/site-packages/kubernetes -name __pycache__ -prune -exec rm -r {} +

# For any user id, with or without a name, on a read-only root: what libraries write goes to /tmp.
ENV HOME=/tmp USER=sftjobs LOGNAME=sftjobs LANG=C.UTF-8 PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/tmp/cache XDG_CONFIG_HOME=/tmp/config
WORKDIR /tmp

ARG BASE
RUN mkdir /opt/sftjobs/build && echo "${BASE}" > /opt/sftjobs/build/base
USER 10001:10001
