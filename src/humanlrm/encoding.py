"""From a subject crop to a triplane, in a frame that has room for the whole person."""

from jaxtyping import Float
from torch import Tensor

from humanlrm.body.balance import correct_posture
from humanlrm.model.landmark_head import select_landmarks
from humanlrm.model.lrm import HumanLRM
from humanlrm.model.triplane import Triplane
from humanlrm.photo.crop import SubjectCrop
from humanlrm.views import Inputs

#: Landmarks farther out than this ask for a larger frame; landmarks are clipped at the second (box units). A portrait's
#: feet are three units below its middle.
_FRAME_LIMIT, _LANDMARK_LIMIT = 0.93, 4.0
#: Encodings of one photo, at most.
_MAX_ENCODINGS = 3


def encode(
    model: HumanLRM, inputs: Inputs, landmarks_override: Float[Tensor, "B J 3"] | None = None, estimate: bool = True
) -> Triplane:
    """The planes of the people in photos: estimate their landmarks, correct the posture, decode.

    Args:
        inputs: on the model's device.
        landmarks_override: landmarks to build on instead of the estimated ones; NaN where the estimate has to do.
        estimate: whether landmarks are estimated even if all of them are overridden.
    """
    features = model.extract_features(inputs.image)
    if model.landmark_head is None:
        return model.decode(features, None)
    if not estimate and landmarks_override is not None and bool(landmarks_override.isfinite().all()):
        return model.decode(features, landmarks_override)
    estimated = model.estimate_landmarks(inputs, features)
    corrected = correct_estimate(model, estimated.points, inputs.image)
    return model.decode(features, select_landmarks(corrected, landmarks_override), estimated)


def encode_poses(model: HumanLRM, inputs: Inputs, poses: Float[Tensor, "K J 3"]) -> tuple[Triplane, ...]:
    """The planes of one person in each of K poses. The image is encoded once."""
    features = model.extract_features(inputs.image)
    return tuple(model.decode(features, pose[None]) for pose in poses)


def correct_estimate(
    model: HumanLRM, landmarks: Float[Tensor, "B *K J 3"], image: Float[Tensor, "B 5 H W"]
) -> Float[Tensor, "B *K J 3"]:
    """A model's estimate of landmarks, or K samples around it, as people are built on them: set upright, if the model
    was trained so."""
    return correct_posture(landmarks, image) if model.config.upright else landmarks


def encode_reframed(model: HumanLRM, subject: SubjectCrop) -> tuple[SubjectCrop, Triplane]:
    """Encode a subject; if its landmarks leave the frame, expand the frame and encode again.

    The detector squeezes the legs of a half body into the photo. The model's estimate puts them where they belong,
    which may be beyond the frame.
    """
    device = next(model.parameters()).device
    triplane = encode(model, subject.inputs.to(device))
    for _ in range(_MAX_ENCODINGS - 1):
        if triplane.inputs.estimated is None:
            break
        expanded = expand_frame(subject, triplane.inputs.estimated[0])
        if expanded is subject:
            break
        subject, triplane = expanded, encode(model, expanded.inputs.to(device))
    return subject, triplane


def expand_frame(subject: SubjectCrop, points: Float[Tensor, "N 3"]) -> SubjectCrop:
    """A larger frame, if the photo cuts the person off and the points (box units) lie beyond this one."""
    if not subject.truncated or float(points[:, :2].abs().max()) < _FRAME_LIMIT:
        return subject
    return subject.expanded_to(points.cpu().numpy().clip(-_LANDMARK_LIMIT, _LANDMARK_LIMIT))
