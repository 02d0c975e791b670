# Image of train stages: DeepSpeed on top of torch, its compiled parts made here, because a pod has neither a compiler
# nor minutes to wait for one.
ARG TORCH=sftjobs/torch
FROM ${TORCH} AS deepspeed
# Only /deepspeed leaves this stage.
# hadolint ignore=DL3002
USER 0:0
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev

# DeepSpeed compiles for the CPU that it finds; an image must run on the others of a cluster, too. x86-64-v3 is every
# server CPU since 2015 (AVX2); torch has its own kernels for newer ones.
ARG CPU_ARCH=x86-64-v3
# Parts for GPUs would need the CUDA compiler: with VARIANT=cuda there are none, and optimizers are those of torch.
ARG VARIANT=cpu
COPY images/portable-cxx /usr/local/bin/
COPY requirements/core.txt requirements/runtime.txt requirements/train.txt /opt/sftjobs/requirements/
ARG PIP_INDEX_URL
RUN ops=0; [ "${VARIANT}" != cpu ] || ops=1; \
    CPU_ARCH=${CPU_ARCH} CC=portable-cxx CXX=portable-cxx DS_ACCELERATOR=cpu \
      DS_BUILD_CPU_ADAM=${ops} DS_BUILD_FUSED_ADAM=${ops} DS_BUILD_SHM_COMM=${ops} \
      pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --no-build-isolation --prefix /deepspeed \
      -r /opt/sftjobs/requirements/train.txt \
 && find /deepspeed -name '*_op.*.so' -exec strip --strip-debug {} +

FROM ${TORCH}
COPY --from=deepspeed /deepspeed /opt/venv
ARG VARIANT=cpu
ENV HF_HUB_OFFLINE=1 DS_ACCELERATOR=${VARIANT}

# The code comes last: a change of it costs one small layer.
USER 0:0
COPY sftjobs /opt/sftjobs/sftjobs
COPY jobs /opt/sftjobs/jobs
ARG REVISION
ARG SOURCE_DIGEST
RUN chmod -R u=rwX,go=rX /opt/sftjobs && python -m compileall -q /opt/sftjobs \
 && python -m sftjobs.build_info /opt/sftjobs/build-info.json
ENV SFTJOBS_BUILD_INFO=/opt/sftjobs/build-info.json
LABEL org.opencontainers.image.title="sftjobs train" org.opencontainers.image.revision="${REVISION}"

# What it is for works, as the user of the container.
USER 10001:10001
RUN --mount=type=bind,source=images/smoke.py,target=/tmp/smoke.py python /tmp/smoke.py train
ENTRYPOINT ["python", "-m", "sftjobs.agent"]
