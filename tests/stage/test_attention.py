"""`train.attention`: each gives the losses of every other; what cannot be had says so."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention.flex_attention import BlockMask, create_mask

from jobs.lm.architectures import windows
from jobs.lm.attention import attending
from jobs.lm.block_mask import BLOCK
from jobs.lm.layout import Batch, Sequences, rows_batch
from jobs.lm.prefix import Layouts
from jobs.train.__main__ import run
from sftjobs.errors import DataError
from tests.support.architectures import WINDOW, compact_loss, make_config, make_model, make_sequences
from tests.support.program_runner import run_here
from tests.support.training import losses, train_config, tree

CPU = torch.device("cpu")
ROWS = {"one row": None, "two rows": [[2, 3], [0, 1]]}


def masks(batch: Batch) -> dict[str, Any]:
    found = batch.to(CPU).inputs["attention_mask"]
    return found if isinstance(found, dict) else {"all": found}


@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize("prefix", [0, 20])
@pytest.mark.parametrize("rows", ROWS)
def test_the_rule_of_blocks_is_the_dense_mask(rows: str, prefix: int, window: int | None) -> None:
    """Pair by pair. Rows for FlexAttention are longer, by tokens that nothing looks at."""
    sequences = make_sequences()
    kinds = {"full_attention": None, "sliding_attention": window}
    dense, rule = (rows_batch(sequences, prefix, kinds, ROWS[rows], blocks=blocks) for blocks in (False, True))
    assert rule.encoded % BLOCK == 0
    for kind, found in masks(rule).items():
        assert isinstance(found, BlockMask)
        number, _, length, _ = found.shape
        seen = create_mask(found.mask_mod, number, None, length, length, device="cpu")
        expected = masks(dense)[kind] == 0
        of_examples = expected.shape[-1]
        assert torch.equal(seen[:, :, :of_examples, :of_examples], expected)
        assert not seen[:, :, :of_examples, of_examples:].any()
        assert seen.any(dim=-1).all(), "each token looks somewhere"


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # of torch's compiler
@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_flex_gives_the_losses_of_the_dense_mask(name: str) -> None:
    """Of a shared prefix and without one, by the kernel that torch compiles for a CPU, which is for forward passes."""
    model = make_model(name).eval()
    sequences = make_sequences()
    for prefix in (20, 0):
        dense, rule = (rows_batch(sequences, prefix, windows(model.config), blocks=blocks) for blocks in (False, True))
        with torch.no_grad():
            expected = compact_loss(model, dense).item()
            with attending(model, "flex"):
                found = compact_loss(model, rule.to(CPU)).item()
        assert found == pytest.approx(expected, rel=1e-5)
    assert model.config._attn_implementation == "sdpa"


def test_what_nobody_may_look_at_is_left_out() -> None:
    """Blocks of the rests on each other are not computed."""
    sequences = make_sequences(prefix=2 * BLOCK, rests=(BLOCK - 1,) * 6)
    [found] = masks(rows_batch(sequences, 2 * BLOCK, blocks=True)).values()
    assert isinstance(found, BlockMask)
    blocks = found.to_dense()[0, 0]
    assert blocks.shape == (8, 8)
    assert int(blocks.sum()) == 3 + 6 * 3, "the causal half of the prefix; each rest on it and on itself"


def test_layouts_for_flex_are_one_row() -> None:
    sequences = make_sequences()
    for prefix in (20, 0):
        given = (
            sequences if prefix else Sequences([row[19:] for row in sequences.ids], [r[19:] for r in sequences.labels])
        )
        batch = Layouts(make_config("llama", _attn_implementation="sdpa"), 0, attention="flex").lay_out(given)
        assert (batch.layout, batch.encoded) == ("rows", BLOCK)
    padded = Layouts(make_config("llama"), 0, attention="flash_attention_2")
    assert padded.lay_out(sequences).layout == "padded"
    assert padded.reason == "attention implementation 'flash_attention_2' takes no mask of its own"


@pytest.mark.parametrize("name", ["llama", "helium"])
def test_flash_attention_packs_where_the_architecture_allows_it(name: str) -> None:
    layouts = Layouts(make_config(name), 0, "if_possible", attention="flash_attention_2")
    assert layouts.lay_out(make_sequences()).layout == ("packed" if name == "llama" else "padded")


def test_eager_and_sdpa_train_the_same(base: Path, data: Path, tmp_path: Path) -> None:
    inputs = {"model": base, "data": data}
    found = {
        name: run_here(run, "jobs.train", train_config(attention=name), inputs, tmp_path / str(name))
        for name in (None, "sdpa", "eager")
    }
    assert tree(found["sdpa"].content) == tree(found[None].content)
    assert losses(found["eager"]) == pytest.approx(losses(found[None]), rel=1e-5)
    assert tree(found["eager"].content) != tree(found[None].content), "other products were computed"


def test_what_is_not_installed_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    config = train_config(attention="flash_attention_2", precision="bfloat16", packing="if_possible")
    with pytest.raises(DataError, match="flash_attention_2 needs the package flash-attn and a CUDA GPU"):
        run_here(run, "jobs.train", config, {"model": base, "data": data}, tmp_path)


def test_flex_has_no_dropout() -> None:
    with (
        pytest.raises(DataError, match=r"flex has no dropout, and the model has attention_dropout 0\.1"),
        attending(make_model("llama", attention_dropout=0.1), "flex"),
    ):
        pass
