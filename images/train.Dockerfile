# Image of train stages: DeepSpeed on top of torch, its compiled parts made here, because a pod has neither a compiler
# nor minutes to wait for one.
ARG TORCH=sftjobs/torch
FROM ${TORCH} AS deepspeed
USER 0:0
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev

# DeepSpeed compiles for the CPU that it finds; an image must run on the others of a cluster, too. x86-64-v3 is every
# server CPU since 2015 (AVX2); torch has its own kernels for newer ones.
ARG CPU_ARCH=x86-64-v3
COPY images/portable-cxx /usr/local/bin/
# 1: for the CPU. Empty: none (CUDA builds would need nvcc), docs/images.md.
ARG DEEPSPEED_OPS=1
COPY requirements/runtime.txt requirements/train.txt /opt/sftjobs/requirements/
RUN export CPU_ARCH CXX=portable-cxx CC=portable-g++ DS_ACCELERATOR=${DEEPSPEED_OPS:+cpu} \
      DS_BUILD_CPU_ADAM=${DEEPSPEED_OPS} DS_BUILD_FUSED_ADAM=${DEEPSPEED_OPS} DS_BUILD_SHM_COMM=${DEEPSPEED_OPS} \
 && pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --no-build-isolation --prefix /deepspeed \
      -r /opt/sftjobs/requirements/train.txt \
 && find /deepspeed -name '*_op.*.so' -exec strip --strip-debug {} +

FROM ${TORCH}
COPY --from=deepspeed /deepspeed /opt/venv
ENV HF_HUB_OFFLINE=1

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
