"""What the multi-view teacher is shown of a training person: all sides, whole, in the frame of one photo."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanlrm.camera import Cameras
from humanlrm.data.records import ShardError
from humanlrm.data.shards import ShardFolder
from humanlrm.data.targets import TargetView, relative_camera
from humanlrm.frame import canonical_camera


def clean_views(shards: ShardFolder, index: int, first: int, count: int) -> tuple[Float[Tensor, "V 5 H W"], Cameras]:
    """Pictures of the whole person from the place of photo ``first`` and from up to ``count - 1`` other photos'.

    Nothing stands in front of the person and no border cuts it, whatever the photos show. The frame, though, is that of
    photo ``first``, which is defined by what that photo shows: latents of a teacher that sees these views are what a
    student should find from the photo alone.

    Returns:
        RGB, alpha and known (1), and cameras in the frame of ``first``; the first camera is the canonical one.

    Raises:
        ShardError: the shard is damaged, or too old to hold pictures of the whole person.
    """
    entry = shards.entries[index]
    others = [view for view in range(entry.views) if view != first]
    views = shards.targets(index, [first, *others[: count - 1]])
    if any(view.rgb is None for view in views):
        raise ShardError(f"{entry.shard}: subject {entry.key} has no target pictures; render the people again")
    size_px = views[0].depth.shape[0]
    one = canonical_camera(size_px)
    w2c = [one.w2c, *(torch.from_numpy(relative_camera(views[0].to_frame, view.to_frame)) for view in views[1:])]
    cameras = Cameras(one.K.expand(len(views), 3, 3), torch.stack(w2c), one.size_px)
    return torch.from_numpy(np.stack([_picture(view) for view in views])), cameras


def _picture(view: TargetView) -> Float[np.ndarray, "5 H W"]:
    assert view.rgb is not None
    alpha = np.isfinite(view.depth).astype(np.float32)
    return np.stack([*(view.rgb / np.float32(255)).transpose(2, 0, 1), alpha, np.ones_like(alpha)])
