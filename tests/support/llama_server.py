"""A real OpenAI-compatible server, llama.cpp: python llama_server.py MODEL_FOLDER PORT GGUF.

llama.cpp cannot open a folder of safetensors, so the folder is only looked at and the GGUF file of the same model is
served.
"""

import os
import signal
import sys
import time
from pathlib import Path

import xllamacpp

folder, port, gguf = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
assert (folder / "tokenizer.json").is_file(), f"no model folder: {folder}"
parameters = xllamacpp.CommonParams()
parameters.model.path = gguf
parameters.n_parallel = 4
parameters.n_ctx = 4096
parameters.cpuparams.n_threads = 1
parameters.hostnames = ["127.0.0.1"]
parameters.port = port
server = xllamacpp.Server(parameters)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # llama.cpp has put a handler of its own in place
print("listening", flush=True)
while True:
    time.sleep(60)
