"""The body model ``anny`` in torch, differentiable: parameters to a posed body in box units, and a fit to landmarks.

Shapes: Q is ``PARAMETERS``, T the number of turned bones, K that of anny's shapes.

Reduced against anny: 20 of its 104 bones turn, the others (fingers, toes, twists) move with the next of them; six of
its eight phenotypes vary. Shapes, weights and landmarks are those of ``people.body_model``.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from humanlrm.body.landmarks import LANDMARKS
from humanlrm.people.armature import LANDMARK_BONES, SIDES
from humanlrm.people.body_model import PHENOTYPE_ANCHORS, body_model
from humanlrm.people.procedural.bodies import outer_vertices, rig

_TRUNK = ("root", "spine05", "spine03", "spine01", "neck01", "head")
_LIMBS = ("clavicle", "upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot")
#: Bones that turn, parents before children.
TURNED = _TRUNK + tuple(f"{bone}.{end}" for _, end in SIDES for bone in _LIMBS)
#: Phenotypes that vary; the others are 0.5.
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
#: Numbers of a body: two columns of each bone's rotation, phenotypes, place of the root, logarithm of the scale.
PARAMETERS = 6 * len(TURNED) + len(PHENOTYPES) + 4
#: Box units per metre of a standing adult who fills the frame, and phenotypes of an average adult.
_SCALE, _AVERAGE = 1.05, (0.5, 0.67, 0.5, 0.5, 0.37, 0.5)
#: Steps of a fit and its learning rate (Adam); its weight of the prior.
_FIT_RATE, _FIT_PRIOR = 0.03, 0.01
#: One of this many vertices takes part in a fit.
_FIT_EVERY = 10


@dataclass(frozen=True)
class PosedBodies:
    """B bodies in box units.

    Attributes:
        landmarks: those of ``body.landmarks``.
        vertices: those that were asked for.
        deviation: mean squared deviation of turns and phenotypes from those of an average adult at rest.
    """

    landmarks: Float[Tensor, "B J 3"]
    vertices: Float[Tensor, "B N 3"]
    deviation: Float[Tensor, "B"]


class AnnyBody(nn.Module):
    """Parameters to bodies. All that it holds is fixed.

    Attributes:
        faces: of all vertices: closed surfaces of body and eyes.
    """

    template: Tensor
    shapes: Tensor
    heads: Tensor
    head_shapes: Tensor
    mask: Tensor
    projection: Tensor
    skin: Tensor

    def __init__(self) -> None:
        super().__init__()
        model, kept = body_model("anny"), outer_vertices()
        bones, parents = model.bones, model.parents
        owners = _owners(bones, parents)
        turned = [bones.index(name) for name in TURNED]
        self.parents = [-1, *(owners[parents[bone]] for bone in turned[1:])]
        begins, self.marks = _landmark_points(bones, owners)
        points = np.array([*turned, *begins])
        skin = np.zeros((len(kept), len(TURNED)), np.float32)
        weights = rig().weights.toarray()
        np.add.at(skin.T, owners, weights.T)
        arrays = {
            "template": _to_our_axes(model.template[kept]),
            "shapes": _to_our_axes(model.shapes[:, kept]),
            "heads": _to_our_axes(model.heads[points]),
            "head_shapes": _to_our_axes(model.head_shapes[:, points]),
            "mask": model.mask,
            "projection": model.projection,
            "skin": skin,
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, np.float32)), persistent=False)
        self.face_vertices = [rig().nose, rig().crown]
        self.faces: Int[np.ndarray, "F 3"] = rig().faces

    def mean(self) -> Float[Tensor, "Q"]:
        """Parameters of an average adult at rest in the middle of the box."""
        turns = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(len(TURNED))
        shape = torch.logit(torch.tensor(_AVERAGE))
        return torch.cat([turns, shape, torch.zeros(3), torch.tensor([_SCALE]).log()])

    def rest(self, phenotype: Float[Tensor, "B 6"]) -> Float[Tensor, "B K"]:
        """Numbers in [0, 1] to coefficients of the shapes; ``people.body_model.BodyModel.rest`` is the twin."""
        shares = [phenotype.new_full((len(phenotype), 3), 1 / 3)]
        for name, count in PHENOTYPE_ANCHORS.items():
            low = -1 / 3 if name == "age" else 0.0
            anchors = torch.linspace(low, 1.0, count, device=phenotype.device)
            chosen = phenotype[:, PHENOTYPES.index(name)] if name in PHENOTYPES else phenotype.new_full((1,), 0.5)
            step = (1.0 - low) / (count - 1)
            share = (1 - (chosen[:, None] - anchors).abs() / step).clamp(min=0)
            shares.append(share.expand(len(phenotype), -1))
        products = torch.cat(shares, dim=-1)[:, None] * self.mask + (1 - self.mask)
        return products.prod(-1) @ self.projection

    def forward(self, parameters: Float[Tensor, "B Q"], every: int = 1) -> PosedBodies:
        """Bodies with these parameters; only every ``every``th vertex is placed."""
        turns, shape, place, size = parameters.split([6 * len(TURNED), len(PHENOTYPES), 3, 1], dim=1)
        local = rotations(turns.unflatten(1, (len(TURNED), 6)))
        phenotype = shape.sigmoid()
        coefficients = self.rest(phenotype)
        rest = self.heads + torch.einsum("bk,kpc->bpc", coefficients, self.head_shapes)
        rest, begins = rest[:, : len(TURNED)], rest[:, len(TURNED) :]
        world, positions = self._place(local, rest)
        at = torch.tensor(self.face_vertices, device=parameters.device)
        face = self.template[at] + torch.einsum("bk,kpc->bpc", coefficients, self.shapes[:, at])
        owners = self.marks + [TURNED.index("head")] * 2
        marks = torch.cat([begins, face], dim=1) - rest[:, owners]
        marks = positions[:, owners] + torch.einsum("bpij,bpj->bpi", world[:, owners], marks)
        landmarks = torch.stack([_mark(marks, name, k) for k, name in enumerate(LANDMARKS)], dim=1)
        vertices = self._skin(coefficients, world, positions, rest, every)
        scale = size.exp()[:, None]
        identity = torch.eye(3, device=parameters.device)
        spread = ((local[:, 1:] - identity) ** 2).mean((1, 2, 3))
        spread = spread + ((phenotype - phenotype.new_tensor(_AVERAGE)) ** 2).mean(1)
        return PosedBodies(landmarks * scale + place[:, None], vertices * scale + place[:, None], spread)

    def _place(
        self, local: Float[Tensor, "B T 3 3"], rest: Float[Tensor, "B T 3"]
    ) -> tuple[Float[Tensor, "B T 3 3"], Float[Tensor, "B T 3"]]:
        """World rotations and positions of the turned bones; the root begins at the origin."""
        world, positions = [local[:, 0]], [torch.zeros_like(rest[:, 0])]
        for bone in range(1, len(TURNED)):
            parent = self.parents[bone]
            step = torch.einsum("bij,bj->bi", world[parent], rest[:, bone] - rest[:, parent])
            positions.append(positions[parent] + step)
            world.append(world[parent] @ local[:, bone])
        return torch.stack(world, dim=1), torch.stack(positions, dim=1)

    def _skin(
        self,
        coefficients: Float[Tensor, "B K"],
        world: Float[Tensor, "B T 3 3"],
        positions: Float[Tensor, "B T 3"],
        rest: Float[Tensor, "B T 3"],
        every: int,
    ) -> Float[Tensor, "B N 3"]:
        """Linear blend skinning, as ``people.armature.skin``."""
        skin = self.skin[::every]
        vertices = self.template[::every] + torch.einsum("bk,kpc->bpc", coefficients, self.shapes[:, ::every])
        offsets = positions - torch.einsum("btij,btj->bti", world, rest)
        linear = torch.einsum("nt,btij->bnij", skin, world)
        return torch.einsum("bnij,bnj->bni", linear, vertices) + torch.einsum("nt,bti->bni", skin, offsets)


def rotations(columns: Float[Tensor, "*B 6"]) -> Float[Tensor, "*B 3 3"]:
    """Rotations of their first two columns (Zhou et al. 2019)."""
    first = nn.functional.normalize(columns[..., :3], dim=-1)
    second = columns[..., 3:] - (first * columns[..., 3:]).sum(-1, keepdim=True) * first
    second = nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


@torch.enable_grad()
def fit_body(
    body: AnnyBody,
    start: Float[Tensor, "B Q"],
    landmarks: Float[Tensor, "B J 3"],
    surface: Float[Tensor, "B S 3"] | None = None,
    steps: int = 150,
) -> Float[Tensor, "B Q"]:
    """Parameters of bodies with these landmarks (NaN: unknown), by Adam from ``start``.

    As SMPLify (Bogo et al. 2016), with 3D instead of 2D landmarks and a plain quadratic prior.

    Args:
        surface: points of the true surface, which the body's vertices should be near.
    """
    parameters = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=_FIT_RATE)
    known = ~landmarks.isnan().any(-1)
    for _ in range(steps):
        posed = body(parameters, every=_FIT_EVERY)
        gap = (posed.landmarks - landmarks.nan_to_num()).norm(dim=-1)
        loss = (gap * known).sum(1).mean() / len(LANDMARKS) + _FIT_PRIOR * posed.deviation.mean()
        if surface is not None:
            loss = loss + torch.cdist(surface, posed.vertices).amin(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return parameters.detach()


def _to_our_axes(points: Float[np.ndarray, "*P 3"]) -> Float[np.ndarray, "*P 3"]:
    """From +Z up to +Y up."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _owners(bones: tuple[str, ...], parents: tuple[int, ...]) -> Int[np.ndarray, "B"]:
    """Number (in ``TURNED``) of the bone that each of anny's bones moves with."""
    owners = np.zeros(len(bones), dtype=np.int64)
    for bone, name in enumerate(bones):
        owners[bone] = TURNED.index(name) if name in TURNED else owners[parents[bone]]
    return owners


def _landmark_points(bones: tuple[str, ...], owners: Int[np.ndarray, "B"]) -> tuple[list[int], list[int]]:
    """Bones of anny that begin at the landmarks (the nose's is a stand-in), and the turned bones they move with."""
    names = []
    for mark in LANDMARKS:
        side, _, part = mark.partition("_")
        names.append(f"{LANDMARK_BONES[part]}.{dict(SIDES)[side]}" if part else {"neck": "neck01"}.get(mark, "head"))
    begins = [bones.index(name) for name in names]
    return begins, [int(owners[bone]) for bone in begins]


def _mark(marks: Float[Tensor, "B M 3"], name: str, place: int) -> Float[Tensor, "B 3"]:
    """A landmark of the posed points: bones' beginnings in the landmarks' order, then nose and crown."""
    if name == "nose":
        return marks[:, -2]
    return (marks[:, place] + marks[:, -1]) / 2 if name == "head" else marks[:, place]
