"""From a reconstructed person to a rigged one."""

import numpy as np
from jaxtyping import Float

from humanlrm.mesh.surface import TexturedMesh, TriangleSurface
from humanlrm.rig.contacts import first_of_each, part_limbs
from humanlrm.rig.skeleton import skeleton_from_landmarks
from humanlrm.rig.skin import RiggedPerson
from humanlrm.rig.weights import heat_weights


def rig(mesh: TexturedMesh, landmarks: Float[np.ndarray, "J 3"]) -> RiggedPerson:
    """A skeleton from the landmarks, limbs freed from what they touch, and skin weights.

    Args:
        mesh: closed when its seams are welded; box units, as the landmarks.

    Raises:
        ValueError: landmarks are missing.
    """
    skeleton = skeleton_from_landmarks(landmarks)
    parted = part_limbs(mesh, skeleton)
    welded = first_of_each(parted.mesh.welded)
    surface = TriangleSurface(parted.mesh.vertices[welded], parted.mesh.welded[parted.mesh.faces])
    weights = heat_weights(surface, skeleton, parted.excluded)
    source = np.arange(len(mesh.vertices))
    if parted.sentences:
        source = first_of_each(mesh.welded)[parted.source[parted.mesh.welded]]
    return RiggedPerson(parted.mesh, skeleton, weights[parted.mesh.welded], source, parted.sentences)
