"""Laws of what is generated beside a photo."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from humanlrm.body.landmarks import COUNT, INDEX
from humanlrm.diffusion.view_prior import (
    completed_picture,
    generate_views,
    hidden_share,
    sample_layers,
    with_photo,
)
from humanlrm.frame import HEAD_SQUARE_SHARE
from humanlrm.model.view_denoiser import ViewCondition, ViewDenoiser, tiny_view_denoiser
from humanlrm.photo.crop import SubjectCrop, assemble_crop

LANDMARKS = torch.zeros(COUNT, 3)
LANDMARKS[INDEX["head"], 1] = 0.7


@pytest.fixture(scope="module")
def denoiser() -> ViewDenoiser:
    torch.manual_seed(0)
    model = ViewDenoiser(tiny_view_denoiser())
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


@pytest.fixture(scope="module")
def subject() -> SubjectCrop:
    """A colored column with a red head."""
    rgb, alpha = np.full((200, 120, 3), 90, np.uint8), np.zeros((200, 120), np.float32)
    alpha[20:190, 40:80] = 1
    rgb[20:60, 40:80] = (200, 30, 30)
    return assemble_crop(rgb, alpha, None, 64)


def test_the_same_seed_gives_the_same_views_and_another_gives_others(denoiser, subject):
    first, again, other = (generate_views(denoiser, subject, LANDMARKS, seed, 2) for seed in (1, 1, 2))
    torch.testing.assert_close(first.body.layers, again.body.layers)
    assert not torch.allclose(first.body.layers, other.body.layers)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_front_is_the_photo_where_the_photo_shows_the_person(denoiser, subject, steps):
    body = generate_views(denoiser, subject, LANDMARKS, 0, steps).body.layers
    image = subject.image_at(body.shape[-1])
    shown = image[3] > 0.5
    torch.testing.assert_close(body[:3, shown], (image[:3] * image[3:4])[:, shown], atol=1e-5, rtol=0)


def test_the_head_has_its_own_square(denoiser, subject):
    views = generate_views(denoiser, subject, LANDMARKS)
    assert views.head.square.side_px == pytest.approx(HEAD_SQUARE_SHARE * subject.crop.side_px)
    assert views.head.square.center_px[1] < subject.crop.center_px[1]


def test_a_point_projects_to_the_same_color_in_crop_and_head_square(denoiser, subject):
    """Both pictures count the box of the whole crop."""
    views = generate_views(denoiser, subject, LANDMARKS)
    for view in (views.body, views.head):
        front, back = view.projections(subject.crop)
        assert (front.side, back.side, front.ends, back.ends) == ("front", "back", True, True)
        row, column = (front.crop.to_px(np.array([0.0, 0.62]))[::-1] - 0.5).round().astype(int)
        assert front.rgb[row, column, 0] > 2 * front.rgb[row, column, 1]


def _cloth(size_px: int, rgb: tuple[float, float, float]) -> tuple[torch.Tensor, ViewCondition]:
    """A photo that the person fills, and its condition."""
    photo = torch.ones(1, 5, size_px, size_px)
    photo[:, :3] = torch.tensor(rgb).view(1, 3, 1, 1)
    return photo, ViewCondition(torch.ones(1, dtype=torch.bool), photo, LANDMARKS[None], torch.ones(1))


def test_detail_goes_on_where_the_back_resembles_the_photo_and_ends_where_it_does_not():
    rng = torch.Generator().manual_seed(0)
    weave = 0.4 + 0.1 * torch.rand(1, 1, 256, 256, generator=rng).expand(-1, 3, -1, -1)
    fine = torch.cat([weave, torch.ones(1, 2, 256, 256)], dim=1)
    photo = torch.nn.functional.avg_pool2d(fine, 4)
    condition = ViewCondition(torch.ones(1, dtype=torch.bool), photo, LANDMARKS[None], torch.ones(1))
    layers = condition.copy.clone()
    layers[:, 4:, :, 32:] += 0.3
    back = with_photo(layers, condition, fine)[:, 4:]
    torch.testing.assert_close(back[..., :60], fine[:, :3, :, :60], atol=1e-5, rtol=0)
    assert back[..., 140:].std() < 0.5 * fine[:, :3, :, 140:].std()


def test_a_dull_back_gets_the_cloths_color_and_another_color_stays():
    photo, condition = _cloth(64, (0.8, 0.2, 0.1))
    layers = condition.copy.clone()
    layers[:, 4:] = torch.tensor([0.7, 0.2, 0.15]).view(1, 3, 1, 1)
    red = with_photo(layers, condition, photo)[0, 4]
    assert float(red.min()) > 0.75
    layers[:, 4:] = 0.3
    torch.testing.assert_close(with_photo(layers, condition, photo)[:, 4:], layers[:, 4:])


def test_a_faint_print_on_the_back_stays_faint():
    """Prints of chests must not continue: what the network has half removed is not drawn back."""
    photo, condition = _cloth(64, (0.8, 0.4, 0.2))
    photo[:, :3, 28:36, 28:36] = torch.tensor([0.6, 0.4, 0.4]).view(1, 3, 1, 1)
    layers = condition.copy.clone()
    layers[:, 4:, 28:36, 28:36] = torch.tensor([0.75, 0.4, 0.25]).view(1, 3, 1, 1)
    back = with_photo(layers, condition, photo)[0, 4:]
    print_, cloth = back[:, 30:34, 30:34].mean((1, 2)), back[:, 8:12, 8:12].mean((1, 2))
    assert float((print_ - cloth).abs().max()) < 0.08, "it was 0.05, and is 0.2 in the photo"


def test_hidden_parts_are_drawn_toward_the_color_that_the_photo_shows_nearest_if_they_resemble_it():
    photo, _ = _cloth(64, (0.8, 0.4, 0.2))
    photo[..., 32:] = 0
    condition = ViewCondition(torch.ones(1, dtype=torch.bool), photo, LANDMARKS[None], torch.ones(1))
    layers = torch.cat([photo[:, :4], photo[:, :3]], dim=1)
    layers[..., 32:] = torch.tensor([0.7, 0.4, 0.2, 1, 0.1, 0.1, 0.1]).view(7, 1, 1)
    front, alpha, back = with_photo(layers, condition, photo)[0, ..., 50:].split([3, 1, 3])
    assert 0.75 < float(front[0].min()) <= float(front[0].max()) < 0.8, "a dull copy of the cloth beside the border"
    torch.testing.assert_close(back, layers[0, 4:, :, 50:], atol=1e-3, rtol=0, msg="another color stays")
    torch.testing.assert_close(alpha, torch.ones_like(alpha))


def test_the_hidden_share_is_that_of_the_generated_person_beside_the_photos(denoiser, subject):
    view = generate_views(denoiser, subject, LANDMARKS).body
    layers = torch.zeros_like(view.layers)
    layers[3, 32:96, 32:96] = 1
    whole = replace(view, layers=layers)
    image = torch.zeros(1, 5, *layers.shape[-2:])
    image[:, 3, 32:80, 32:96] = 1
    assert hidden_share(image, whole) == pytest.approx(0.25, abs=0.02)
    image[:, 3] = 1
    assert hidden_share(image, whole) == 0


def test_guesses_of_one_step_do_not_depend_on_the_noise_of_a_zero_network():
    model = ViewDenoiser(tiny_view_denoiser())
    photo = torch.rand(1, 5, 32, 32)
    photo[:, 3:] = 1
    condition = ViewCondition(torch.ones(1, dtype=torch.bool), photo, LANDMARKS[None], torch.ones(1))
    first, other = (sample_layers(model, condition, seed) for seed in (0, 1))
    torch.testing.assert_close(first, other, atol=0.05, rtol=0)
    torch.testing.assert_close(first, condition.copy, atol=0.05, rtol=0)


def test_a_completed_picture_is_the_photo_where_that_shows_the_person_and_the_generated_front_elsewhere(
    denoiser, subject
):
    view = generate_views(denoiser, subject, LANDMARKS).body
    layers = torch.zeros_like(view.layers)
    layers[3, 32:96, 32:96] = 1
    layers[0, 32:96, 32:96] = 0.7
    image = torch.zeros(1, 5, 64, 64)
    image[:, :5, 16:32, 16:48] = 0.3
    image[:, 3:, 16:32, 16:48] = 1
    picture = completed_picture(image, replace(view, layers=layers))
    torch.testing.assert_close(picture[:, :, 16:32, 16:48], image[:, :, 16:32, 16:48])
    below = torch.tensor([0.7, 0, 0, 1, 1]).view(1, 5, 1, 1).expand(1, 5, 12, 28)
    torch.testing.assert_close(picture[:, :, 34:46, 18:46], below, atol=1e-4, rtol=0)
    assert float(picture[:, 3, :14].max()) == 0
    assert float(picture[:, 4].min()) == 1


def test_a_completed_silhouette_has_the_edges_of_a_photos_mask(denoiser, subject):
    """An alpha of a third is a third of a chance, and no person; one of 0.8 is a person."""
    view = generate_views(denoiser, subject, LANDMARKS).body
    layers = torch.zeros_like(view.layers)
    columns = torch.linspace(0, 1, layers.shape[-1])
    layers[3] = columns
    alpha = completed_picture(torch.zeros(1, 5, *layers.shape[-2:]), replace(view, layers=layers))[0, 3, 0]
    assert float(alpha[columns < 0.5].max()) == 0
    assert float(alpha[columns > 0.8].min()) == 1
    assert (alpha.diff() >= 0).all()


def test_samples_are_colors_that_differ_from_the_mean_and_from_each_other(denoiser, subject):
    draws = ((0, 1), (1, 3), (2, 3))
    mean, first, other = (generate_views(denoiser, subject, LANDMARKS, *draw).body.layers for draw in draws)
    for sample in (first, other):
        assert float(sample.min()) >= 0
        assert float(sample.max()) <= 1
        assert float((sample - mean).abs().mean()) > 1e-4
    assert float((first - other).abs().mean()) > 1e-4
