"""Laws of how much a photo hides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from painted import behind_a_box, cut_at, painted, whole

from humanlrm.body.landmarks import INDEX
from humanlrm.diffusion.latent.condition import token_mask
from humanlrm.frame import project_ndc
from humanlrm.photo.crop import assemble_crop
from humanlrm.photo.visibility import find_hidden_pixels, measure_visibility, share_below_photo


def test_of_somebody_who_is_seen_whole_nothing_is_hidden():
    found = measure_visibility(whole())
    assert found.hidden < 0.02
    assert found.reasons == ()
    assert not found.substantial


def test_only_what_the_lower_border_cuts_lies_below_the_photo():
    below = [float(share_below_photo(cut_at(share).inputs)) for share in (1.0, 0.75, 0.5, 0.4)]
    assert below == sorted(below)
    assert below[0] == 0
    assert below[2] == pytest.approx(measure_visibility(cut_at(0.5)).hidden, abs=0.03)
    assert float(share_below_photo(behind_a_box().inputs)) == 0
    upside_down = cut_at(0.4).inputs
    upside_down = replace(
        upside_down,
        image=upside_down.image.flip(2),
        landmarks=upside_down.landmarks * torch.tensor([1.0, -1.0, 1.0, 1.0]),
    )
    assert float(share_below_photo(upside_down)) == 0


def test_errors_of_the_landmarks_alone_do_not_ask_for_completion():
    rgb, alpha, pose = painted()
    noise = np.random.default_rng(0).normal(0, 0.03 * 260 / 2.4, (len(pose.landmarks), 2))
    off = replace(pose, landmarks=pose.landmarks + np.pad(noise, ((0, 0), (0, 2))))
    assert not measure_visibility(assemble_crop(rgb, alpha, off, 128)).substantial


def test_the_more_is_cut_off_the_more_is_hidden():
    hidden = [measure_visibility(cut_at(share)).hidden for share in (1.0, 0.75, 0.6, 0.45, 0.3)]
    assert hidden == sorted(hidden)
    assert hidden[0] < 0.02
    assert 0.1 < hidden[2] < 0.55
    assert hidden[-1] > 0.6


def test_a_cut_names_the_border_and_what_lies_beyond():
    found = measure_visibility(cut_at(0.6))
    assert found.substantial
    text = "; ".join(found.reasons)
    assert "bottom" in text
    assert "outside the photo: left knee, left ankle, left toe, right knee and 2 more" in text


def test_a_cut_through_the_body_counts_even_if_the_landmarks_were_squeezed_into_the_photo():
    rgb, alpha, pose = painted()
    points = pose.landmarks.copy()
    points[:, 1] = np.minimum(points[:, 1], 128)
    squeezed = measure_visibility(assemble_crop(rgb[:130], alpha[:130], replace(pose, landmarks=points), 64))
    assert squeezed.substantial
    assert measure_visibility(assemble_crop(rgb[:222], alpha[:222], None, 64)).hidden < squeezed.hidden


def test_something_in_front_is_noticed_though_all_landmarks_are_inside():
    found = measure_visibility(behind_a_box())
    assert found.substantial
    assert found.reasons == (f"covered, or not where it is thought to be: {found.hidden:.0%} of the body",)


def test_landmarks_that_were_not_found_count_as_hidden():
    crop = whole()
    marks = crop.landmarks.clone()
    legs = [INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle", "toe")]
    marks[legs] = 0
    found = measure_visibility(replace(crop, landmarks=marks))
    assert found.substantial
    assert found.reasons == ("not found: left knee, left ankle, left toe, right knee and 2 more",)


def test_without_any_landmark_the_borders_decide():
    rgb, alpha, _ = painted()
    assert measure_visibility(assemble_crop(rgb, alpha, None, 64)).hidden == 0
    cut = measure_visibility(assemble_crop(rgb[:130], alpha[:130], None, 64))
    assert cut.substantial
    assert cut.reasons == ("the photo's border cuts the person: bottom",)


@pytest.mark.parametrize("size_px", [64, 128, 256])
def test_the_measure_does_not_depend_on_the_crops_size(size_px):
    assert measure_visibility(cut_at(0.6, size_px)).hidden == pytest.approx(
        measure_visibility(cut_at(0.6, 192)).hidden, abs=0.03
    )
    assert measure_visibility(behind_a_box(size_px)).hidden == pytest.approx(
        measure_visibility(behind_a_box(192)).hidden, abs=0.05
    )


def test_hidden_pixels_lie_outside_of_the_photo_or_where_the_body_must_be():
    crop = behind_a_box(128)
    hidden = find_hidden_pixels(crop.inputs)[0]
    neck, hip = project_ndc(crop.landmarks[[INDEX["neck"], INDEX["left_hip"]], :3]).mul(0.5)
    middle = (neck + hip) / 2
    row, column = int((0.5 - middle[1]) * 128), int((0.5 + middle[0]) * 128)
    assert bool(hidden[row, column])
    assert not bool((hidden & (crop.alpha[0] > 0.5)).any())
    assert not bool(hidden[0].any())
    outside = cut_at(0.5, 128)
    assert bool(find_hidden_pixels(outside.inputs)[0][outside.known[0] == 0].all())


def test_missing_landmarks_hide_no_pixels():
    crop = behind_a_box()
    gone = replace(crop, landmarks=torch.zeros_like(crop.landmarks))
    assert not bool(find_hidden_pixels(gone.inputs).any())


def test_tokens_count_where_enough_of_their_pixels_do():
    hidden = torch.zeros(1, 64, 64, dtype=torch.bool)
    hidden[0, 48:] = True
    hidden[0, :16, :8] = True
    counts = token_mask(hidden, (4, 4)).view(4, 4)
    assert bool(counts[:3].all())
    assert not bool(counts[3].any())
    hidden[0, :16, :14] = True
    assert not bool(token_mask(hidden, (4, 4))[0, 0])
