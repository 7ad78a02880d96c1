"""The optimizer, and the averaged weights that follow it."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from humanlrm.model.encoder import TrainableTrunk
from humanlrm.model.landmark_head import Lifter
from humanlrm.train.checkpoint import trained_parameters
from humanlrm.train.config import TrainConfig

#: Share of the learning rate of modules that are not new when training starts. The lifter is fitted before: at the full
#: rate it forgot 4% of what it had learned. The image trunk is pretrained on other pictures.
_RATE_SHARES: dict[type[nn.Module], float] = {Lifter: 0.1, TrainableTrunk: 0.25}


def make_optimizer(model: nn.Module, config: TrainConfig, density: nn.Module | None = None) -> torch.optim.AdamW:
    """Build AdamW with a group per decay and share of the learning rate (``share``).

    Biases, norms, embeddings, the prior's weight and the density's width do not decay.
    """
    slow = {
        parameter: _RATE_SHARES[type(module)]
        for module in model.modules()
        if type(module) in _RATE_SHARES
        for parameter in module.parameters()
    }
    members: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(model, density).items():
        decays = parameter.ndim >= 2 and name.endswith("weight")
        members.setdefault((decays, slow.get(parameter, 1.0)), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": config.steps.weight_decay * decays, "share": share}
        for (decays, share), parameters in members.items()
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.steps.beta2), fused=True)


@torch.no_grad()
def update_average(average: dict[str, Tensor], parameters: dict[str, nn.Parameter], ema: float, step: int) -> None:
    """Move the averaged weights toward the parameters, faster in the first steps."""
    decay = min(ema, (1 + step) / (10 + step))
    for name, parameter in parameters.items():
        average[name].lerp_(parameter, 1 - decay)


@torch.no_grad()
def averaged_model(model: Any, average: dict[str, Tensor]) -> Any:
    """Copy a network, with the averaged weights, in evaluation mode."""
    copy = deepcopy(model)
    for name, parameter in trained_parameters(copy).items():
        parameter.copy_(average[name])
    return copy.eval()
