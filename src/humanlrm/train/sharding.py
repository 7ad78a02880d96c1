"""Parameters, gradients, moments and averages split over the processes (FSDP2, by torch itself).

``accelerate`` enters FSDP on accelerators only; torch's own ``fully_shard`` splits over CPU processes as well, so that
what a cluster runs is tested on two processes of a laptop.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.distributed import all_reduce, destroy_process_group, is_available, is_initialized
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from humanlrm.model.blocks import Block
from humanlrm.model.plane_decoder import PlaneBlock
from humanlrm.train.objective import Objective

#: What is gathered, used and given back by itself; everything else is gathered for the whole step.
_UNITS = (Block, PlaneBlock)
#: What models of this process were split along.
_MESHES: list[DeviceMesh] = []


@contextmanager
def own_group() -> Iterator[None]:
    """Ends the process group that was made inside, if one was, and the threads that carried its messages.

    A thread that still gives back the tensors of the last message while Python ends aborts the process, and torchrun
    takes the run for failed (pytorch/pytorch#179291). Threads end with the last reference to their group; torch's own
    caches keep the meshes of split models, and those their groups, for as long as the process lives.
    """
    before = is_available() and is_initialized()
    try:
        yield
    finally:
        if is_available() and is_initialized() and not before:
            destroy_process_group()
            while _MESHES:
                getattr(_MESHES.pop(), "_pg_registry", {}).clear()
            gc.collect()
            AcceleratorState._reset_state(reset_partial_state=True)


def split(losses: Objective, device: str, processes: int) -> None:
    """Splits the parameters in place: each process keeps its share of every one and gathers them while it computes.

    Needs a process group. Parameters become other objects: optimisers have to be made afterwards.
    """
    mesh = init_device_mesh(torch.device(device).type, (processes,))
    _MESHES.append(mesh)
    for module in losses.modules():
        if isinstance(module, _UNITS):
            fully_shard(module, mesh=mesh)
    # Only a module whose forward is called gathers: parts that are asked by methods of their own belong to the root.
    fully_shard(losses, mesh=mesh, reshard_after_forward=False, ignored_params=set(_numbers(losses)))


def _numbers(losses: nn.Module) -> list[nn.Parameter]:
    """Parameters without a dimension along which they could be split: every process has them whole."""
    return [p for p in losses.parameters() if p.ndim == 0]


def average_numbers(losses: nn.Module, processes: int) -> None:
    """Averages over the processes the gradients of what is not split."""
    for parameter in _numbers(losses):
        if parameter.grad is not None:
            all_reduce(parameter.grad)
            parameter.grad /= processes


def clip(parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """Scales all gradients, split or whole, so that their common norm is at most ``most``; returns the norm before."""
    grads = [p.grad for p in parameters if p.grad is not None]
    kinds = [[g for g in grads if isinstance(g, DTensor) == is_split] for is_split in (False, True)]
    norm = torch.stack([whole(nn.utils.get_total_norm(own)) for own in kinds if own]).norm()
    share = (most / (norm + 1e-6)).clamp(max=1)
    for grad in grads:
        (grad.to_local() if isinstance(grad, DTensor) else grad).mul_(share)
    return norm


def split_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process' share of a tensor that every process holds, as its parameter is split."""
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be split; if it is, every process has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
