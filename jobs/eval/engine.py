"""What makes the answers of an evaluation: a model in this process, or a server beside it."""

from collections.abc import Sequence
from functools import cached_property

import torch
from transformers import AutoConfig, PreTrainedModel

from jobs.lm.device import planned_device
from jobs.lm.generate import context_room, generate
from jobs.lm.generation import Generation
from jobs.lm.learned_prefix import learned_prefix, read_virtual_tokens
from jobs.lm.load import load_model
from jobs.lm.positions import context_length
from jobs.lm.prefix_attention import Prefix
from jobs.lm.render import Renderer, load_tokenizer
from jobs.lm.sampling import Sampling
from jobs.lm.server import running_server
from jobs.lm.server_generate import generate_by_server
from jobs.lm.spread import spread, usable_memory
from sftjobs.plan.configs import EvalConfig
from sftjobs.program import Program


class Engine:
    """The model of the input `model`; opened when it is first needed, and not at all where a server answers."""

    def __init__(self, program: Program, config: EvalConfig) -> None:
        self._program = program
        self._config = config
        self._folder = program.input("model")

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(load_tokenizer(self._folder))

    @cached_property
    def model(self) -> PreTrainedModel:
        """In 16 bits on a GPU or spread over several, in float32 on a CPU."""
        device = planned_device(self._config.device, self._program.local_rank)
        gpus = self._config.spread_over
        if gpus:
            planned_device(self._config.device, gpus - 1)
            placed = spread(self._folder, torch.bfloat16, usable_memory(gpus))
            return load_model(self._folder, torch.bfloat16, device_map=placed)
        model = load_model(self._folder, torch.float32 if device.type == "cpu" else torch.bfloat16)
        model.to(device)  # type: ignore[arg-type]
        return model

    @cached_property
    def before(self) -> Prefix | None:
        """The trained virtual tokens of the input `adapter`; None without one: the model has been tuned itself."""
        if "adapter" not in self._program.plan.inputs:
            return None
        return learned_prefix(self.model, read_virtual_tokens(self._program.input("adapter")))

    @property
    def context(self) -> int | None:
        """Tokens that the model can see; None if its config does not say."""
        return context_length(AutoConfig.from_pretrained(self._folder, trust_remote_code=False, local_files_only=True))

    def answer(self, prompts: Sequence[Sequence[int]], phase: str) -> tuple[list[str], Generation]:
        """A text for each prompt. Raises Stopped if asked to stop, DataError and SftError as the server does."""
        program, decoding = self._program, self._config.decoding
        sampling = Sampling(decoding.temperature, decoding.top_p, decoding.seed)
        program.progress(phase, 0, len(prompts))
        if decoding.server is None:
            generation = generate(
                self.model,
                prompts,
                stop_ids=self.renderer.stop_ids,
                max_new_tokens=decoding.max_new_tokens,
                batch_size=program.plan.operation.batch_size,
                sampling=sampling,
                before=self.before,
                on_progress=lambda done: program.progress(phase, done, len(prompts)),
                stop_requested=lambda: program.stop_requested,
            )
        else:
            with running_server(decoding.server, self._folder) as server:
                generation = generate_by_server(
                    server,
                    self.renderer.tokenizer,
                    prompts,
                    stop_ids=self.renderer.stop_ids,
                    room=context_room(self.context, prompts, decoding.max_new_tokens),
                    sampling=sampling,
                    on_progress=lambda done: program.progress(phase, done, len(prompts)),
                    on_wait=lambda seconds: program.progress("start the server", int(seconds), None, unit="s"),
                    stop_requested=lambda: program.stop_requested,
                )
        return generation.texts(self.renderer.tokenizer), generation
