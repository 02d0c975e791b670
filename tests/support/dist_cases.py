"""The trainings of tests/dist: the same examples and settings, on one rank and on several, in every way of sharing.

All have 20 steps of 8 examples, in float32 without dropout; what differs is in the name:

    <method> <engine> <layout> <ranks>x<micro batch>x<accumulation>
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sftjobs.plan.configs import TrainConfig, ZeroConfig
from sftjobs.spec.prompt import PromptSpec
from sftjobs.spec.train import MethodName
from tests.support.architectures import make_model
from tests.support.ranks import Case, Result, run_ranks
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.training import train_config, training_data

Layout = Literal["shared", "packed", "padded"]
LAYOUTS: tuple[Layout, ...] = ("shared", "packed", "padded")
TABLE: tuple[MethodName, ...] = ("full", "lora")
"""Methods that go through everything."""
EXAMPLES = 40
BATCH = 8
STEPS = 20
RATE = 1e-4
EACH_S = 30
"""A case of four ranks on two busy cores."""
_NOTHING_WHOLE = {
    "stage3_param_persistence_threshold": 0,
    "stage3_max_live_parameters": 0,
    "stage3_max_reuse_distance": 0,
    "stage3_prefetch_bucket_size": 0,
}
"""A model of a few thousand weights would be whole on every rank: here each layer's are gathered when it computes."""
ENGINES: dict[str, ZeroConfig | None] = {
    "DDP": None,
    "ZeRO-1": ZeroConfig(stage=1),
    "ZeRO-2": ZeroConfig(stage=2),
    "ZeRO-2 + optimizer on CPU": ZeroConfig(stage=2, offload="optimizer"),
    "ZeRO-3": ZeroConfig(stage=3, overrides={"zero_optimization": _NOTHING_WHOLE}),
    "ZeRO-3 + all on CPU": ZeroConfig(stage=3, offload="parameters", overrides={"zero_optimization": _NOTHING_WHOLE}),
}


@dataclass(frozen=True)
class Variant:
    """One training of the table."""

    method: MethodName
    engine: str
    ranks: int
    micro: int
    layout: Layout = "shared"

    @property
    def accumulation(self) -> int:
        return BATCH // (self.ranks * self.micro)

    @property
    def shown_layout(self) -> str:
        """An example alone has neither padding nor anyone to share a prefix with."""
        return self.layout if self.micro > 1 else "single"

    @property
    def name(self) -> str:
        return f"{self.method} {self.engine} {self.shown_layout} {self.ranks}x{self.micro}x{self.accumulation}"

    @property
    def reference(self) -> "Variant":
        """One rank, no accumulation, no DeepSpeed, and the layout that is taken if none is asked for."""
        layout: Layout = "padded" if self.layout == "padded" else "shared"
        return Variant(self.method, "DDP", 1, BATCH, layout)


CHOSEN = (
    *(Variant(method, engine, 2, 2) for method in TABLE for engine in ENGINES),
    Variant("lora_plus", "ZeRO-3", 2, 2),
    Variant("qlora", "DDP", 2, 2),
    Variant("dora", "ZeRO-3", 2, 2),
    Variant("full", "ZeRO-2", 2, 2, "packed"),
    Variant("lora", "ZeRO-3", 2, 2, "packed"),
    Variant("lora", "DDP", 4, 2, "padded"),
    Variant("full", "ZeRO-3", 4, 2),
    Variant("full", "DDP", 1, 4, "packed"),
)
"""Of the whole table what is trained whenever tests run; the rest is marked slow."""
EVERY = tuple(
    dict.fromkeys(
        (
            *CHOSEN,
            *(Variant("lora_plus", engine, 2, 2) for engine in ENGINES),
            *(Variant(method, "DDP", 2, 2) for method in ("rslora", "dora", "periodic_lora")),  # type: ignore[arg-type]
            Variant("full", "ZeRO-2", 2, 4),
            Variant("full", "ZeRO-3", 2, 1),
            Variant("full", "ZeRO-2", 4, 1),
            Variant("lora", "ZeRO-3 + all on CPU", 4, 1),
            Variant("lora", "DDP", 1, 2),
            *(
                Variant(method, engine, ranks, micro, layout)
                for ranks, micro in ((1, 4), (2, 2), (4, 2))
                for method in TABLE
                for engine, zero in ENGINES.items()
                for layout in LAYOUTS
                if ranks > 1 or zero is None or zero.offload != "none"  # else one rank has nobody to share with
            ),
        )
    )
)
"""Full tuning and LoRA with every engine and layout on 1, 2 and 4 ranks, and what else was chosen."""


class World:
    """Base models and data of all cases."""

    def __init__(self, folder: Path) -> None:
        self._data = training_data(folder / "data", EXAMPLES)
        lines = (self._data / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (self._data / "dev.jsonl").write_text("".join(lines[:5]), encoding="utf-8")
        prompt = PromptSpec.model_validate({"system": "s", "input": "{text}", "output": {"format": "free"}})
        (self._data / "prompt.json").write_text(prompt.model_dump_json(), encoding="utf-8")
        padded = folder / "padded"
        tokenizer = tiny_tokenizer(padded)
        make_model("helium", vocab_size=len(tokenizer), max_position_embeddings=512).save_pretrained(padded)
        self._models = {"shared": tiny_model(folder / "base"), "padded": padded}

    def inputs(self, layout: Layout = "shared") -> dict[str, Path]:
        """Of an architecture that is known, or of one whose examples are padded for lack of knowledge."""
        return {"model": self._models["padded" if layout == "padded" else "shared"], "data": self._data}

    def case(self, variant: Variant) -> Case:
        return Case(config_of(variant), self.inputs(variant.layout))


def config_of(variant: Variant, **changes: object) -> TrainConfig:
    """Four epochs of five steps."""
    settings = {
        "zero": ENGINES[variant.engine],
        "world_size": variant.ranks,
        "micro_batch_size": variant.micro,
        "gradient_accumulation_steps": variant.accumulation,
        "learning_rate": RATE,
        "packing": variant.layout == "packed",
        "epochs": BATCH * STEPS / EXAMPLES,
    }
    return train_config(variant.method, EXAMPLES, **(settings | changes))


Trained = dict[str, Result]
"""By name."""


def train_all(
    world: World,
    folder: Path,
    more: Mapping[int, Mapping[str, Case]] | None = None,
    variants: Sequence[Variant] = CHOSEN,
) -> Trained:
    """All `variants` and their references; the ranks of one world size do all of theirs in the same processes.

    `more`: further cases by the number of ranks.
    """
    found: Trained = {}
    references = dict.fromkeys(variant.reference for variant in variants)
    for ranks in (1, 2, 4):
        wanted = dict.fromkeys(one for one in (*references, *variants) if one.ranks == ranks)
        cases = {one.name: world.case(one) for one in wanted} | dict((more or {}).get(ranks, {}))
        work = folder / f"{ranks}-ranks"
        work.mkdir()
        found |= run_ranks(ranks, cases, work, timeout_s=max(600, EACH_S * len(cases)))
    return found
