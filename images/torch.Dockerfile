# The one heavy layer: torch and the libraries that all stage programs share (requirements/runtime.txt).
ARG BASE=sftjobs/base
FROM ${BASE}
USER 0:0

# VARIANT=cuda: the build for GPUs that requirements/cuda.txt locks, with MALLOC= (docs/images.md).
ARG VARIANT=cpu
# glibc gives large blocks back to the system and asks for them again at every step of a model on CPU. Triton, which
# FlexAttention, torch.compile and Liger are made of, compiles what starts a kernel on the GPU with a C compiler.
RUN set -- libtcmalloc-minimal4; [ "${VARIANT}" = cpu ] || set -- "$@" gcc libc6-dev; \
    apt-get update \
 && apt-get install --yes --no-install-recommends "$@" \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY requirements/runtime.txt requirements/cuda.txt /opt/sftjobs/requirements/
ARG PIP_INDEX_URL
RUN lock=runtime.txt; [ "${VARIANT}" = cpu ] || lock="${VARIANT}.txt"; \
    pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
      ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} -r "/opt/sftjobs/requirements/${lock}"

# The versions that plans are made for, also by the controller, whose image has no torch.
RUN python -c "import importlib.metadata as m, json, torch; \
packages = {d.name: d.version for d in m.distributions()}; \
variant = f'cuda {torch.version.cuda}' if torch.version.cuda else 'cpu'; \
print(json.dumps({'variant': variant, 'packages': packages}))" > /opt/sftjobs/build/torch.json

# Large caches go to /scratch, a volume of the pod with room for models; threads that wait do not spin.
ARG MALLOC=libtcmalloc_minimal.so.4
ENV LD_PRELOAD=${MALLOC} OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false \
    HF_HOME=/scratch/huggingface TRITON_CACHE_DIR=/scratch/triton TORCHINDUCTOR_CACHE_DIR=/scratch/inductor \
    TORCH_EXTENSIONS_DIR=/scratch/extensions MPLCONFIGDIR=/tmp/matplotlib
RUN mkdir --mode 1777 /scratch
USER 10001:10001
