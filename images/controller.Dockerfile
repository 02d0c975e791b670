# Image of the controller and of `helm test`: no torch. It tells the stage images' versions from their build info.
ARG BASE=sftjobs/base
ARG TORCH=sftjobs/torch
FROM ${TORCH} AS torch

FROM ${BASE}
COPY --from=torch /opt/sftjobs/build/torch.json /opt/sftjobs/build/

# The code comes last: a change of it costs one small layer.
USER 0:0
COPY sftjobs /opt/sftjobs/sftjobs
ARG REVISION
ARG SOURCE_DIGEST
RUN chmod -R u=rwX,go=rX /opt/sftjobs && python -m compileall -q /opt/sftjobs \
 && python -c 'import sftjobs.kube.api' \
 && python -m sftjobs.build_info /opt/sftjobs/build-info.json
ENV SFTJOBS_BUILD_INFO=/opt/sftjobs/build-info.json
LABEL org.opencontainers.image.title="sftjobs controller" org.opencontainers.image.revision="${REVISION}"

# What it is for works, as the user of the container.
USER 10001:10001
RUN --mount=type=bind,source=images/smoke.py,target=/tmp/smoke.py python /tmp/smoke.py controller
ENTRYPOINT ["python", "-m", "sftjobs.controller"]
