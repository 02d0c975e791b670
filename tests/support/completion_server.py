"""An OpenAI-compatible server with the faults of real ones: python completion_server.py MODEL_FOLDER PORT [FAULT].

Without a fault, and with `text` (takes only text and only known fields, as `transformers serve`) and `busy` (every
request is refused once with 503), it answers by `model.generate`. The other faults answer "ok" without a model:

    silent      listens on nothing
    dies        ends with code 3 after two answers
    refuses     400 to everything
    missing     404, it serves another model
    breaks      500 to the second question
    bos         counts one token more than the prompt has
    stubborn    ignores SIGTERM, and has a child that does too
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
FAULT = sys.argv[3] if len(sys.argv) > 3 else "none"
LOCK = threading.Lock()
asked: dict[str, int] = {}
answered = 0


def main() -> None:
    """Serve until ended."""
    print(f"this is {FAULT}", flush=True)
    if FAULT == "silent":
        time.sleep(3600)
    if FAULT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        Path(FOLDER, "pids").write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = "somebody/else" if FAULT == "missing" else FOLDER
        self._send(200, {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "me"}]})

    def do_POST(self) -> None:
        global answered
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            status, problem = self._fault(body)
            if status != 200:
                self._send(status, {"error": {"message": problem}})
                return
            self._send(200, answer(body))
            answered += 1
            if FAULT == "dies" and answered == 3:  # the first one is the question whether it is ready
                print("something terrible happened", flush=True)
                os._exit(3)

    def _fault(self, body: dict[str, Any]) -> tuple[int, str]:
        key = json.dumps(body["prompt"])
        asked[key] = asked.get(key, 0) + 1
        if FAULT == "refuses":
            return 400, "this model does not take such prompts"
        if FAULT == "missing":
            return 404, f"the model {body['model']} does not exist"
        if FAULT == "breaks" and body["max_tokens"] > 1:
            return 500, "out of memory"
        if FAULT == "busy" and asked[key] % 2:
            return 503, "try again"
        if FAULT == "text" and "top_k" in body:
            return 422, "unexpected fields"
        if FAULT == "text" and not isinstance(body["prompt"], str):
            return 400, "prompt must be a string"
        return 200, ""

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """A completion."""
    if FAULT in {"none", "text", "busy"}:
        text, reason, prompt, new = generated(body)
    else:
        text, reason, prompt, new = "ok", "stop", len(body["prompt"]) + (FAULT == "bos"), 2
    return {
        "id": "1",
        "object": "text_completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "text": text, "finish_reason": reason, "logprobs": None}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new},
    }


def generated(body: dict[str, Any]) -> tuple[str, str, int, int]:
    """Text, why it ended, tokens of the prompt and of the answer."""
    import torch

    tokenizer, model = loaded()
    prompt = body["prompt"]
    ids = tokenizer(prompt, add_special_tokens=False).input_ids if isinstance(prompt, str) else prompt
    stop = tokenizer.eos_token_id
    with torch.inference_mode():
        out = model.generate(
            torch.tensor([ids]), max_new_tokens=body["max_tokens"], do_sample=False, eos_token_id=stop, pad_token_id=0
        )[0, len(ids) :].tolist()
    ended = out[-1] == stop
    text = tokenizer.decode(out[:-1] if ended else out, clean_up_tokenization_spaces=False)
    return text, "stop" if ended else "length", len(ids), len(out)


def loaded(kept: list[Any] = []) -> tuple[Any, Any]:  # noqa: B006 - opened once
    """Tokenizer and model."""
    if not kept:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        kept += [AutoTokenizer.from_pretrained(FOLDER), AutoModelForCausalLM.from_pretrained(FOLDER).eval()]
    return kept[0], kept[1]


if __name__ == "__main__":
    main()
