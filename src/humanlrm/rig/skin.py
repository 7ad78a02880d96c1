"""A person with a skeleton inside: the skin follows the joints (linear blend skinning, as every viewer does it)."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from humanlrm.mesh.surface import TexturedMesh
from humanlrm.output_settings import PoseName
from humanlrm.rig.pose import place_joints, rotations_to
from humanlrm.rig.skeleton import JOINT, Skeleton
from humanlrm.rig.weights import SkinWeights


@dataclass(frozen=True, repr=False)
class RiggedPerson:
    """A textured mesh that moves with a skeleton.

    Attributes:
        mesh: in the rest pose, box units.
        skeleton: joints at rest, box units.
        weights: joints that move each vertex of the mesh.
        source: vertex of the mesh before it was rigged that each vertex comes from, or lies near.
        contacts: sentences about parts that the photo shows in touch, and how they were parted.
    """

    mesh: TexturedMesh
    skeleton: Skeleton
    weights: SkinWeights
    source: Int[np.ndarray, "U"]
    contacts: tuple[str, ...] = ()

    def moved(self, rotations: Float[np.ndarray, "K 3 3"], hips: Float[np.ndarray, "3"] | None = None) -> TexturedMesh:
        """The mesh under world rotations of the joints, relative to the rest pose."""
        normals = skin_normals(self.mesh.normals, self.weights, rotations)
        return replace(self.mesh, vertices=self.vertices_in(rotations, hips), normals=normals)

    def vertices_in(
        self, rotations: Float[np.ndarray, "K 3 3"], hips: Float[np.ndarray, "3"] | None = None
    ) -> Float[np.ndarray, "U 3"]:
        """The vertices under world rotations of the joints, relative to the rest pose."""
        places = place_joints(self.skeleton, rotations, hips)
        moves = np.concatenate([rotations, (places - _rotate(rotations, self.skeleton.positions))[..., None]], axis=-1)
        return skin(self.mesh.vertices, self.weights, moves)

    def reposed(
        self, rotations: Float[np.ndarray, "K 3 3"], hips: Float[np.ndarray, "3"] | None = None
    ) -> "RiggedPerson":
        """The person whose rest pose is the one under these rotations."""
        places = place_joints(self.skeleton, rotations, hips)
        ends = places + _rotate(rotations, self.skeleton.ends - self.skeleton.positions)
        head = JOINT["head"]
        nose = places[head] + rotations[head] @ (self.skeleton.nose - self.skeleton.positions[head])
        return replace(self, mesh=self.moved(rotations, hips), skeleton=Skeleton(places, ends, nose))

    def in_pose(self, pose: PoseName) -> "RiggedPerson":
        """The person whose rest pose is A or T, or the photo's."""
        if pose == "photo":
            return self
        return self.reposed(rotations_to(self.skeleton, pose))


def skin(
    vertices: Float[np.ndarray, "U 3"], weights: SkinWeights, moves: Float[np.ndarray, "K 3 4"]
) -> Float[np.ndarray, "U 3"]:
    """Linear blend skinning: the weighted mean of each vertex under its joints' moves."""
    blended = np.einsum("uk,ukij->uij", weights.weights, moves.astype(np.float32)[weights.joints])
    return (np.einsum("uij,uj->ui", blended[..., :3], vertices) + blended[..., 3]).astype(np.float32)


def skin_normals(
    normals: Float[np.ndarray, "U 3"], weights: SkinWeights, rotations: Float[np.ndarray, "K 3 3"]
) -> Float[np.ndarray, "U 3"]:
    """Normals turned by their joints, of unit length."""
    blended = np.einsum("uk,ukij->uij", weights.weights, rotations.astype(np.float32)[weights.joints])
    turned = np.einsum("uij,uj->ui", blended, normals)
    return (turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _rotate(rotations: Float[np.ndarray, "K 3 3"], points: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "K 3"]:
    return np.einsum("kij,kj->ki", rotations, points)
