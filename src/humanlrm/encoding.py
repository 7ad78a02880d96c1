"""From a subject crop to a triplane, in a frame that has room for the whole person."""

from jaxtyping import Float
from torch import Tensor

from humanlrm.model.lrm import Model
from humanlrm.model.triplane import Triplane
from humanlrm.photo.crop import SubjectCrop

#: Landmarks farther out than this ask for a larger frame; landmarks are clipped at the second (box units). A portrait's
#: feet are three units below its middle.
_FRAME_LIMIT, _LANDMARK_LIMIT = 0.93, 4.0
#: Encodings of one photo, at most.
_MAX_ENCODINGS = 3


def encode_reframed(model: Model, subject: SubjectCrop) -> tuple[SubjectCrop, Triplane]:
    """Encode a subject; if its landmarks leave the frame, expand the frame and encode again.

    The detector squeezes the legs of a half body into the photo. The model's estimate puts them where they belong,
    which may be beyond the frame.
    """
    device = next(model.parameters()).device
    triplane = model.encode(subject.inputs.to(device))
    for _ in range(_MAX_ENCODINGS - 1):
        if triplane.inputs.estimated is None:
            break
        expanded = expand_frame(subject, triplane.inputs.estimated[0])
        if expanded is subject:
            break
        subject, triplane = expanded, model.encode(expanded.inputs.to(device))
    return subject, triplane


def expand_frame(subject: SubjectCrop, points: Float[Tensor, "N 3"]) -> SubjectCrop:
    """A larger frame, if the photo cuts the person off and the points (box units) lie beyond this one."""
    if not subject.truncated or float(points[:, :2].abs().max()) < _FRAME_LIMIT:
        return subject
    return subject.expanded_to(points.cpu().numpy().clip(-_LANDMARK_LIMIT, _LANDMARK_LIMIT))
