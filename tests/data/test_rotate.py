import torch

from humanlrm.data.augment.rotate import rotated
from humanlrm.frame import project_ndc, sample_plane
from humanlrm.views import Inputs, Supervision


def dot_at(place: torch.Tensor, side: int = 96) -> torch.Tensor:
    """A picture that is brightest where the canonical camera sees a place."""
    centres = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(-centres, centres, indexing="ij")
    ndc = project_ndc(place[None])[0]
    return torch.exp(-((x - ndc[0]) ** 2 + (y - ndc[1]) ** 2) / 0.02)


def case(batch: int = 16):
    marks = torch.rand(batch, 19, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    image = torch.ones(batch, 5, 96, 96)
    image[:, 0] = torch.stack([dot_at(m[4]) for m in marks])
    image[:, 4, :, :8] = 0
    given = Inputs(image, torch.cat([marks, torch.ones(batch, 19, 1)], -1), torch.zeros(batch, 19, 2, 480))
    # As deep as it is bright, and unknown where it is dark.
    depth = torch.where(image[:, :1] > 0.1, image[:, :1], torch.full_like(image[:, :1], torch.nan)).expand(
        -1, 2, -1, -1
    )
    none = torch.zeros(batch, 1, 3)
    return given, Supervision(none, none[..., 0], none, none, none, depth, marks)


def test_a_rotated_picture_shows_a_landmark_where_the_rotated_landmark_is():
    given, truth = case()
    marks = truth.landmarks
    seen, turned_truth = rotated(given, truth, torch.Generator().manual_seed(1))
    wanted = turned_truth.landmarks
    assert (wanted - marks).norm(dim=-1).max() > 0.1
    torch.testing.assert_close(seen.landmarks[..., :3], wanted)
    torch.testing.assert_close(wanted[..., 2], marks[..., 2])
    torch.testing.assert_close(wanted.norm(dim=-1), marks.norm(dim=-1))
    shown = sample_plane(seen.image[:, :1], project_ndc(wanted[:, 4:5]))
    torch.testing.assert_close(shown, torch.ones_like(shown), rtol=0, atol=0.05)
    depth, bright = turned_truth.depth[:, 0], seen.image[:, 0]
    known = ~depth.isnan()
    assert known[bright > 0.15].all()
    assert not known[bright < 0.05].any()
    torch.testing.assert_close(depth[known], bright[known], rtol=0, atol=0.06)


def test_pixels_from_outside_are_unknown_and_dark():
    given, truth = case()
    seen, _ = rotated(given, truth, torch.Generator().manual_seed(1))
    known = seen.image[:, 4]
    assert known.min() == 0
    assert (known > 0.5).float().mean() < (given.image[:, 4] > 0.5).float().mean()
    assert (seen.image[:, 1][known > 0.5] > 0.99).all()


def test_unknown_landmarks_stay_unknown():
    given, truth = case()
    truth.landmarks[:, 3] = torch.nan
    wanted = rotated(given, truth, torch.Generator().manual_seed(1))[1].landmarks
    assert wanted[:, 3].isnan().any(-1).all()
    assert wanted[:, 4:].isfinite().all()
