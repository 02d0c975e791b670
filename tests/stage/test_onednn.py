"""Linear layers by oneDNN: the same loss and gradients as by torch's own way, and nothing left behind."""

import pytest
import torch
from torch import nn

from jobs.lm.onednn import onednn_linears, usable
from jobs.train.methods.low_rank import add_adapter
from sftjobs.plan.configs import LoraConfig
from tests.support.architectures import make_model
from tests.support.training import fill_adapter

pytestmark = pytest.mark.skipif(not usable(), reason="this build of torch has no oneDNN")


def gradients(model: nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_loss_and_gradients_are_those_of_torch(name: str, adapted: bool) -> None:
    model: nn.Module = make_model(name)
    if adapted:
        torch.manual_seed(0)
        model = add_adapter(model, LoraConfig(rank=4, alpha=8, dropout=0.0, target="all-linear"))
        fill_adapter(model)
    ids = torch.randint(0, 90, (3, 17), generator=torch.Generator().manual_seed(1))
    plain_loss, plain = gradients(model, ids)
    with onednn_linears(model):
        assert any("forward" in vars(module) for module in model.modules())
        loss, found = gradients(model, ids)
    assert not any("forward" in vars(module) for module in model.modules() if type(module) is nn.Linear)
    torch.testing.assert_close(loss, plain_loss, rtol=1e-6, atol=0)
    assert found.keys() == plain.keys()
    for key, gradient in found.items():
        torch.testing.assert_close(gradient, plain[key], rtol=1e-4, atol=1e-6, msg=key)


def test_a_bias_and_any_number_of_dimensions() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    model = nn.Sequential(layer)
    for shape in ((5,), (4, 5), (2, 3, 5), (0, 5)):
        given = torch.randn(shape, requires_grad=True)
        other = given.detach().clone().requires_grad_()
        layer.zero_grad()
        model(given).pow(2).sum().backward()
        plain = [layer.weight.grad.clone(), layer.bias.grad.clone()]
        layer.zero_grad()
        with onednn_linears(model):
            model(other).pow(2).sum().backward()
        torch.testing.assert_close(other.grad, given.grad)
        torch.testing.assert_close([layer.weight.grad, layer.bias.grad], plain)


def test_sixteen_bits_go_the_way_of_torch() -> None:
    layer = nn.Linear(8, 8)
    with onednn_linears(nn.Sequential(layer)), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 8)).dtype == torch.bfloat16
