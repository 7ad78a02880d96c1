from dataclasses import replace

import torch

from humanlrm.camera import Cameras, look_at
from humanlrm.frame import FOCAL, canonical_camera
from humanlrm.model.view_encoder import CameraEmbedding, Modulation, camera_numbers


def camera(eye: tuple[float, float, float]) -> Cameras:
    one = canonical_camera(64)
    return Cameras(one.K, look_at(torch.tensor(eye), torch.zeros(3)), one.size_px)


def test_the_canonical_camera_in_numbers():
    found = camera_numbers(canonical_camera(64))
    torch.testing.assert_close(found[:12].view(3, 4), canonical_camera(64).w2c[:3])
    torch.testing.assert_close(found[12:], torch.tensor([FOCAL, FOCAL, 0.0, 0.0]))


def test_neither_resolution_nor_the_scale_of_camera_space_matter():
    one = camera((1.0, 2.0, 3.0))
    torch.testing.assert_close(camera_numbers(canonical_camera(64)), camera_numbers(canonical_camera(200)))
    scaled = replace(one, w2c=torch.diag(torch.tensor([2.5, 2.5, 2.5, 1.0])) @ one.w2c)
    torch.testing.assert_close(camera_numbers(scaled), camera_numbers(one))


def test_an_image_of_unequal_sides_has_its_own_focal_lengths_and_middle():
    K = torch.tensor([[100.0, 0.0, 40.0], [0.0, 100.0, 25.0], [0.0, 0.0, 1.0]])
    found = camera_numbers(Cameras(K, torch.eye(4), (50, 100)))
    torch.testing.assert_close(found[12:], torch.tensor([2.0, 4.0, -0.2, 0.0]))


def test_other_cameras_are_embedded_otherwise():
    embed = CameraEmbedding(8)
    near, far = embed(camera((0.0, 0.0, 4.0))), embed(camera((4.0, 0.0, 0.0)))
    assert (near - far).norm() > 0.1 * near.norm()


def test_a_new_modulation_is_the_identity():
    tokens = torch.randn(2, 5, 6)
    torch.testing.assert_close(Modulation(4, 6)(tokens, torch.randn(2, 4)), tokens, rtol=0, atol=0)


def test_every_image_is_modulated_by_its_own_condition():
    modulate, tokens, condition = Modulation(4, 6), torch.randn(2, 5, 6), torch.randn(2, 4)
    torch.nn.init.normal_(modulate.layer.weight)
    changed = condition.clone()
    changed[1] += 1
    before, after = modulate(tokens, condition), modulate(tokens, changed)
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=0)
    assert not torch.allclose(before[1], after[1])
    gamma, beta = modulate.layer(condition[0]).chunk(2)
    torch.testing.assert_close(before[0, 3], tokens[0, 3] * (1 + gamma) + beta)
