"""Parts of the rivals against their plain twins and analytic shapes."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from humanlrm.evaluate.case import IMAGE_PX
from humanlrm.frame import canonical_camera
from humanlrm.mesh.preview import orbit_camera
from humanlrm.people.body_model import body_model
from humanlrm.people.procedural.bodies import outer_vertices, sample_body, skeleton, skin
from humanlrm.rays import image_rays
from humanlrm.rivals.body import PHENOTYPES, TURNED, AnnyBody, fit_body, rotations
from humanlrm.rivals.hybrid import distance_to_body, mesh_normals
from humanlrm.rivals.nerf import view_to_input
from humanlrm.rivals.pixels import true_normals


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody()


def test_shapes_are_those_of_the_body_model(body):
    rng = np.random.default_rng(0)
    for _ in range(3):
        phenotype = dict(zip(PHENOTYPES, rng.uniform(0.05, 0.95, 6), strict=True))
        parameters = body.mean()[None]
        parameters[:, 6 * len(TURNED) : -4] = torch.logit(torch.tensor(list(phenotype.values())))
        vertices, heads = body_model("anny").rest(phenotype)
        expected = (vertices[outer_vertices()] - heads[0]) * float(parameters[0, -1].exp())
        np.testing.assert_allclose(body(parameters).vertices[0].numpy(), expected, atol=1e-5)


def test_posed_bodies_are_those_of_procedural_people(body):
    rng = np.random.default_rng(1)
    person = sample_body(rng)
    turns = {name: Rotation.from_rotvec(rng.normal(0, 0.4, 3)).as_matrix() for name in TURNED}
    rest = torch.from_numpy(person.vertices)
    # The person's shape is not among the parameters here: it takes the template's place.
    body = AnnyBody()
    bones = [person.armature.index(name) for name in TURNED]
    average = body(body.mean()[None]).landmarks
    parameters = body.mean()[None]
    parameters[0, : 6 * len(TURNED)] = torch.from_numpy(
        np.concatenate([turns[name][:, :2].T.ravel() for name in TURNED]).astype(np.float32)
    )
    body.shapes.zero_(), body.template.copy_(rest)
    body.head_shapes.zero_()
    body.heads[: len(bones)] = torch.from_numpy(person.armature.rest[bones])
    posed = body(parameters)
    scale, root = float(parameters[0, -1].exp()), person.armature.rest[0]
    np.testing.assert_allclose(posed.vertices[0].numpy(), (skin(person, turns) - root) * scale, atol=1e-5)
    assert average.shape == posed.landmarks.shape == (1, len(skeleton(person, turns)), 3)


def test_a_body_is_fitted_to_landmarks(body):
    parameters = body.mean()[None]
    parameters[:, :120] += 0.2 * torch.randn(1, 120)
    marks = body(parameters).landmarks
    before = (body(body.mean()[None]).landmarks - marks).norm(dim=-1).mean()
    found = fit_body(body, body.mean()[None], marks, steps=25)
    assert (body(found).landmarks - marks).norm(dim=-1).mean() < before / 3


def test_rotations_are_rotations():
    found = rotations(torch.randn(5, 6))
    torch.testing.assert_close(found @ found.transpose(1, 2), torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(5))


def test_normals_of_a_sphere_point_away_from_its_middle():
    rays, radius = image_rays(canonical_camera(64)), 0.7
    origin, direction = rays.origins[0], rays.directions[0]
    along = (origin * direction).sum(-1)
    under = along**2 - (origin**2).sum(-1) + radius**2
    t = torch.stack([-along - under.sqrt(), -along + under.sqrt()])
    places = origin + t[..., None] * direction
    depth = places[..., 2].reshape(1, 2, 64, 64)
    normals = true_normals(depth)[0].permute(0, 2, 3, 1).reshape(2, -1, 3)
    known = ~normals.isnan().any(-1) & (under > 0.1)
    assert known.sum() > 500
    cosine = (normals * places / radius).sum(-1)[known]
    assert cosine.min() > 0.98


def test_the_distance_to_a_sphere_of_points_is_signed():
    sphere = trimesh.creation.icosphere(4, 0.5)
    vertices = torch.from_numpy(np.asarray(sphere.vertices, np.float32))[None]
    normals = mesh_normals(vertices, torch.from_numpy(np.asarray(sphere.faces)).long())
    torch.testing.assert_close(normals, vertices / 0.5, atol=1e-2, rtol=0)
    points = torch.randn(1, 200, 3) * 0.5
    distance, normal = distance_to_body(points, vertices, normals)
    torch.testing.assert_close(distance, points.norm(dim=-1) - 0.5, atol=0.02, rtol=0)
    assert (normal * points).sum(-1).min() > 0


@pytest.mark.parametrize("yaw_deg", [0.0, 90.0, 200.0])
def test_a_view_sees_a_point_where_its_camera_sees_it(yaw_deg):
    camera = orbit_camera(yaw_deg, IMAGE_PX)
    own = torch.randn(7, 3) * 0.3
    moved = view_to_input(camera).to(own)
    world = own @ moved[:3, :3].T + moved[:3, 3]
    torch.testing.assert_close(camera.project(world), canonical_camera(IMAGE_PX).project(own), atol=1e-2, rtol=0)
