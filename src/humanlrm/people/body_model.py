"""The body model ``anny`` (Apache-2.0): rest shapes that are linear in a phenotype, on one of its two topologies.

The package parses 1,136 shape files for minutes at its first use on a machine and takes seconds to start later, so what
is used of it is kept in the user's cache. Everything here is in metres, +Y up, facing +Z, the person's left at +X.
"""

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from humanlrm.cache import cached_arrays

#: Vertices of body and eyes without helpers, and of MakeHuman's base mesh, on whose helpers garments hang.
Topology = Literal["anny", "makehuman"]
#: Part of the cache's key; counts up when this module stores something else.
_CACHE_VERSION = 1
#: How many anchors each number of a phenotype has, in the order of the columns of ``BodyModel.mask``; three origins are
#: in front of them, mixed evenly. Ages are anchored from -1/3 (new-born) to 1, the others from 0 to 1.
PHENOTYPE_ANCHORS = {
    "gender": 2,
    "age": 5,
    "muscle": 3,
    "weight": 3,
    "height": 2,
    "proportions": 2,
    "cupsize": 3,
    "firmness": 3,
}


@dataclass(frozen=True)
class BodyModel:
    """Body shapes, topology and skinning weights.

    Attributes:
        template, shapes: vertices of the mean body and what each coefficient adds, in anny's axes (+Z up).
        heads, head_shapes: likewise for the points where bones begin.
        mask: columns of the phenotype that each of P products multiplies; projection: of the products to coefficients.
        faces: polygons, of quads or triangles.
        uv: texture coordinates, v = 0 at the bottom; uv_faces: index into ``uv`` of each corner.
        weight_bones, weights: bones that move each vertex and their shares.
        bones: names, parents before children; "L" is the person's left. parents: index of the parent, -1 for the root.
    """

    template: Float[np.ndarray, "N 3"]
    shapes: Float[np.ndarray, "K N 3"]
    heads: Float[np.ndarray, "B 3"]
    head_shapes: Float[np.ndarray, "K B 3"]
    mask: Float[np.ndarray, "P 26"]
    projection: Float[np.ndarray, "P K"]
    faces: Int[np.ndarray, "F n"]
    uv: Float[np.ndarray, "U 2"]
    uv_faces: Int[np.ndarray, "F n"]
    weight_bones: Int[np.ndarray, "N k"]
    weights: Float[np.ndarray, "N k"]
    bones: tuple[str, ...]
    parents: tuple[int, ...]

    def rest(self, phenotype: dict[str, float]) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "B 3"]]:
        """Vertices and beginnings of the bones of a body at rest (arms 45 degrees away from the trunk), metres.

        Args:
            phenotype: numbers in [0, 1] by name, 0.5 if not named, e.g. ``{"gender": 1.0, "age": 0.6}``; gender 1 is
                female, age 0 a new-born, 1/3 a child, 2/3 a young adult, 1 old.

        Raises:
            ValueError: an unknown name.
        """
        if unknown := phenotype.keys() - PHENOTYPE_ANCHORS.keys():
            raise ValueError(
                f"BodyModel: no phenotype {', '.join(sorted(unknown))}; it has {', '.join(PHENOTYPE_ANCHORS)}"
            )
        shares = [torch.full((3,), 1 / 3)]
        shares += [_anchor_shares(phenotype.get(name, 0.5), name, count) for name, count in PHENOTYPE_ANCHORS.items()]
        mask, projection = torch.from_numpy(self.mask), torch.from_numpy(self.projection)
        coefficients = torch.prod(torch.cat(shares) * mask + (1 - mask), dim=-1)[None] @ projection
        return _blend(self.template, self.shapes, coefficients), _blend(self.heads, self.head_shapes, coefficients)


def _blend(
    mean: Float[np.ndarray, "N 3"], shapes: Float[np.ndarray, "K N 3"], coefficients: Float[Tensor, "1 K"]
) -> Float[np.ndarray, "N 3"]:
    """Points of a body, turned from anny's axes to ours."""
    points = torch.from_numpy(mean) + torch.einsum("cpd,bc->bpd", torch.from_numpy(shapes), coefficients)[0]
    x, y, z = points.numpy().T
    return np.stack([x, z, -y], axis=1).astype(np.float32)


def _anchor_shares(value: float, name: str, count: int) -> Float[Tensor, "count"]:
    """Linear interpolation: the shares of the anchors around a value."""
    anchors = torch.linspace(-1 / 3 if name == "age" else 0.0, 1.0, count, dtype=torch.float64).float()
    number = torch.tensor(value, dtype=torch.float32).clamp(anchors[0], anchors[-1])
    upper = int(torch.searchsorted(anchors, number).clamp(1, count - 1))
    share = (number - anchors[upper - 1]) / (anchors[upper] - anchors[upper - 1])
    shares = torch.zeros(count)
    shares[upper - 1], shares[upper] = 1.0 - share, share
    return shares


@cache
def body_model(topology: Topology) -> BodyModel:
    """The body model, read once per process; needs the extra "train" (``anny``)."""
    key = f"{topology}-anny{version('anny')}-v{_CACHE_VERSION}"
    arrays = cached_arrays("bodies", key, lambda: _from_anny(topology))
    bones, parents = (tuple(arrays.pop(name).tolist()) for name in ("bones", "parents"))
    return BodyModel(**arrays, bones=bones, parents=parents)


#: Field of ``BodyModel`` -> attribute of anny's model.
_ATTRIBUTES = {
    "template": "template_vertices", "shapes": "blendshapes", "heads": "template_bone_heads",
    "head_shapes": "bone_heads_blendshapes", "mask": "stacked_phenotype_blend_shapes_mask",
    "projection": "phenotype_blendshape_projection", "faces": "faces", "uv": "texture_coordinates",
    "uv_faces": "face_texture_coordinate_indices", "weight_bones": "vertex_bone_indices",
    "weights": "vertex_bone_weights",
}  # fmt: skip


def _from_anny(topology: Topology) -> dict[str, np.ndarray]:
    import anny  # slow to import
    from anny.models import full_model

    theirs, full_model.load_blend_shape = full_model.load_blend_shape, _load_blend_shape
    try:
        model = anny.Anny(topology=topology, skinning_method="lbs").to(dtype=torch.float32)
    finally:
        full_model.load_blend_shape = theirs
    arrays = {name: getattr(model, attribute).numpy() for name, attribute in _ATTRIBUTES.items()}
    return arrays | {"bones": np.array(model.bone_labels), "parents": np.array(model.bone_parents)}


def _load_blend_shape(filename: str, vertices_count: int, world_transformation, dtype: torch.dtype) -> Tensor:
    """Rows of a vertex number and an offset, like anny's function of this name, which makes a tensor of each row."""
    with gzip.open(filename, "rt", encoding="utf-8") as file:
        rows = np.fromstring(file.read(), dtype=np.float64, sep=" ").reshape(-1, 4)
    offsets = torch.zeros((vertices_count, 3), dtype=dtype)
    offsets[torch.from_numpy(rows[:, 0].astype(np.int64))] = torch.from_numpy(rows[:, 1:]).to(dtype)
    return world_transformation.apply(offsets)
