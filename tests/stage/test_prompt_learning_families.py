"""Virtual tokens before models of every architecture that can have them: peft's forward pass and our prefix."""

import pytest
import torch

from jobs.lm.architectures import SHARED_PREFIX
from jobs.lm.generate import generate
from jobs.train.generator import generator
from jobs.train.methods import METHODS
from sftjobs.spec.train import PROMPT_LEARNING, MethodName
from tests.support.architectures import make_model
from tests.support.training import train_config

# peft 0.21 asks transformers 5.23 for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

WHOLE = {"sliding_window": None, "use_sliding_window": False, "layer_types": ["full_attention"] * 2}
TOKENS = 5
"""Virtual ones, as in `train_config`."""


@pytest.mark.parametrize("method", PROMPT_LEARNING)
@pytest.mark.parametrize("name", sorted(SHARED_PREFIX))
def test_prompts_go_on_after_virtual_tokens(name: str, method: MethodName) -> None:
    """The heads' size is not hidden size over heads where the architecture allows that."""
    base = make_model(name, **WHOLE, head_dim=12).eval()
    torch.manual_seed(3)
    model = METHODS[method].prepare(base, train_config(method)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    plain, before = generator(model)
    assert before is not None and before.tokens == TOKENS
    prompts = [[*range(3, 23), *range(40, 44 + more)] for more in range(3)]
    found = generate(plain, prompts, stop_ids=[2], max_new_tokens=3, batch_size=3, before=before)
    assert found.refused is None
    for prompt, answer in zip(prompts, found.answers, strict=True):
        ids = list(prompt)
        for token in answer.ids:
            with torch.no_grad():
                scores = model(input_ids=torch.tensor([ids])).logits[0, -1]
            assert scores[token] >= scores.max() - 1e-4
            ids.append(token)
    with torch.no_grad():
        ids_ = torch.tensor([prompts[0]])
        expected = model(input_ids=ids_).logits[:, -len(prompts[0]) :]
        ours = plain(input_ids=ids_, past_key_values=before.cache()).logits
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
