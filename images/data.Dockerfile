# Image of data stages. Only they talk to a hub: the import of a model is one.
ARG TORCH=sftjobs/torch
FROM ${TORCH}

# The code comes last: a change of it costs one small layer.
USER 0:0
COPY sftjobs /opt/sftjobs/sftjobs
COPY jobs /opt/sftjobs/jobs
ARG REVISION
ARG SOURCE_DIGEST
RUN chmod -R u=rwX,go=rX /opt/sftjobs && python -m compileall -q /opt/sftjobs \
 && python -m sftjobs.build_info /opt/sftjobs/build-info.json
ENV SFTJOBS_BUILD_INFO=/opt/sftjobs/build-info.json
LABEL org.opencontainers.image.title="sftjobs data" org.opencontainers.image.revision="${REVISION}"

# What it is for works, as the user of the container.
USER 10001:10001
RUN --mount=type=bind,source=images/smoke.py,target=/tmp/smoke.py python /tmp/smoke.py data
ENTRYPOINT ["python", "-m", "sftjobs.agent"]
