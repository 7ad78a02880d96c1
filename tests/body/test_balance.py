"""Where the weight is, and what is set upright."""

import numpy as np
import torch
from mean_body import mean_skeleton

from humanlrm.body.balance import MASSES, balance_offset, is_standing, lean_deg, undo_lean
from humanlrm.frame import project_ndc
from humanlrm.people.poses import everyday
from humanlrm.people.poses.balance import balanced
from humanlrm.people.poses.pack import world_rotations


def person(name: str = "attention", lean: float = 0.0) -> torch.Tensor:
    """Landmarks in box units, the feet at the lower border, leaning toward the camera by so many degrees."""
    pose = everyday.everyday_pose(name, np.random.default_rng(0))
    points = torch.from_numpy(mean_skeleton(world_rotations(balanced(pose, mean_skeleton)))).float() * 1.8
    points = points - (points.amax(0) + points.amin(0)) / 2
    points[:, 2] += np.tan(np.deg2rad(lean)) * points[:, 1]
    return points


def test_masses_are_shares_and_both_sides_weigh_alike():
    assert abs(MASSES.sum() - 1) < 1e-12
    assert (MASSES >= 0).all()
    np.testing.assert_allclose(MASSES[:8], MASSES[8:16])


def test_the_weight_of_who_stands_is_above_the_feet_wherever_the_person_is():
    arm = balance_offset(person())
    assert arm[1] > 0.8
    assert arm[[0, 2]].norm() < 0.03
    torch.testing.assert_close(balance_offset(person() + torch.tensor([3.0, -2.0, 1.0])), arm, atol=1e-5, rtol=0)


def test_standing_and_walking_are_told_from_sitting_and_lying():
    assert all(is_standing(person(name)) for name in ("attention", "akimbo", "strolling", "waving"))
    assert not any(is_standing(person(name)) for name in ("sitting", "squatting", "lying", "kneeling"))


def test_half_of_a_small_lean_is_undone_and_none_of_a_large_one():
    before = float(lean_deg(person()))
    leaning = torch.stack([person(lean=lean) for lean in (4.0, -4.0, 20.0)])
    after = lean_deg(undo_lean(leaning, torch.zeros(3).bool()))
    assert 0.4 < (after[0] - before / 2) / 4 < 0.6
    assert 0.4 < (before / 2 - after[1]) / 4 < 0.6
    torch.testing.assert_close(undo_lean(leaning, torch.zeros(3).bool())[2], leaning[2])


def test_what_the_picture_shows_stays_and_only_depth_changes():
    leaning = person(lean=4.0)[None]
    changed = undo_lean(leaning, torch.tensor([False]))
    assert (changed - leaning)[..., 2].abs().max() > 0.02
    torch.testing.assert_close(project_ndc(changed), project_ndc(leaning))
    assert abs(float((changed - leaning)[..., 2].mean())) < 1e-6


def test_who_does_not_stand_stays():
    sitting = person("sitting", lean=4.0)
    torch.testing.assert_close(undo_lean(sitting, torch.tensor(True)), sitting)


def test_feet_that_are_not_seen_stand_under_the_body():
    leaning = torch.stack([person(lean=lean) for lean in (5.0, 15.0)])
    assert lean_deg(undo_lean(leaning, torch.ones(2).bool())).abs().max() < 0.5
    torch.testing.assert_close(project_ndc(undo_lean(leaning, torch.ones(2).bool())), project_ndc(leaning))
