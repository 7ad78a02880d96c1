"""The table of rivals: what each is built of, what its training needs, and the rows that it gives.

To add a rival: its file, its line in ``RIVALS``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from humanlrm.evaluate.case import SIDES, Method
from humanlrm.evaluate.methods import lrm
from humanlrm.model.config import small
from humanlrm.rivals.generic import generic_config, generic_plan
from humanlrm.rivals.hmr import Hmr, HmrConfig
from humanlrm.rivals.hybrid import Hybrid, HybridConfig, hybrid_on
from humanlrm.rivals.nerf import NerfConfig, nerf
from humanlrm.rivals.pifu import Pifu, PifuConfig
from humanlrm.rivals.pifuhd import PifuHd, PifuHdConfig
from humanlrm.rivals.rival import Rival, method_of
from humanlrm.rivals.triplane import TriplaneRival, TriplaneRivalConfig, triplane_rendering
from humanlrm.train.config import TrainConfig

#: A trained network and a lattice's cells per side to a method.
Opener = Callable[[Any, int], Method]


@dataclass(frozen=True)
class RivalKind:
    """One kind of rival.

    Attributes:
        title: in the table.
        config: its sizes.
        network: from the sizes to the network; ``None``: a model of ours, which ``train.setup`` builds.
        rows: name of each row that it gives, and how the row is opened.
        plan: from the settings that all rivals share to those of this one.
    """

    title: str
    config: Callable[[], Any]
    network: Callable[[Any], Rival] | None
    rows: dict[str, Opener]
    plan: Callable[[TrainConfig], TrainConfig] = lambda plan: plan


def _triplane_plan(plan: TrainConfig) -> TrainConfig:
    return replace(plan, rendering=triplane_rendering())


#: Rivals that are trained, by the name that the command takes.
RIVALS: dict[str, RivalKind] = {
    "hmr": RivalKind("parametric body (HMR kind)", HmrConfig, Hmr, {"hmr": method_of}),
    "pifu": RivalKind("pixel-aligned implicit (PIFu kind)", PifuConfig, Pifu, {"pifu": method_of}),
    "pifuhd": RivalKind("two levels and normals (PIFuHD kind)", PifuHdConfig, PifuHd, {"pifuhd": method_of}),
    "hybrid": RivalKind(
        "body and implicit (PaMIR and ICON kind)",
        HybridConfig,
        Hybrid,
        {
            "hybrid": method_of,
            "hybrid-landmarks-body": partial(hybrid_on, source="landmarks"),
            "hybrid-true-body": partial(hybrid_on, source="true"),
        },
    ),
    "generic": RivalKind("generic LRM (density)", generic_config, None, {"generic-lrm": lrm}, generic_plan),
    "triplane": RivalKind(
        "feed-forward triplane (TripoSR kind)",
        TriplaneRivalConfig,
        TriplaneRival,
        {"triplane": method_of},
        _triplane_plan,
    ),
    "ours": RivalKind("ours, same budget", small, None, {"ours-same-budget": lrm}),
}

#: Rows without training: from a lattice's cells per side to a method.
UNTRAINED: dict[str, Callable[[int], Method]] = {
    "nerf-one": lambda resolution: nerf(NerfConfig(), resolution),
    "nerf-four": lambda resolution: nerf(NerfConfig(), resolution, SIDES),
}


def kind_of(name: str) -> RivalKind:
    """A rival by name.

    Raises:
        ValueError: there is none, or it is never trained.
    """
    if name in ("nerf", *UNTRAINED):
        raise ValueError(
            "the per-image rival is fitted to each photo; there is nothing to train, the table measures it"
        )
    if name not in RIVALS:
        raise ValueError(f"unknown rival {name!r}; there are {', '.join(RIVALS)}")
    return RIVALS[name]
