import numpy as np
import pytest
import torch
import trimesh

from humanlrm.mesh.clean import clean, detached_share, is_sound, simplify, smooth
from humanlrm.mesh.extract import extract_surface
from humanlrm.mesh.surface import TriangleSurface, face_normals


def ball(points, radius, center=(0.0, 0, 0)):
    return (points - torch.tensor(center)).norm(dim=-1) - radius


FIELDS = {
    "two spheres": lambda p: torch.minimum(ball(p, 0.4, (-0.4, 0, 0)), ball(p, 0.2, (0.5, 0, 0))),
    "inner cavity": lambda p: torch.maximum(ball(p, 0.5), -ball(p, 0.3)),
    "border": lambda p: ball(p, 0.5, (0.9, 0.8, 0)),
    "thin sheet": lambda p: torch.maximum(p[:, 2].abs() - 0.01, p[:, :2].norm(dim=-1) - 0.6),
    "touching spheres": lambda p: torch.minimum(ball(p, 0.3, (-0.3, 0, 0)), ball(p, 0.299, (0.3, 0, 0))),
    "noise": lambda p: ball(p, 0.5) + 0.05 * torch.sin(40 * p).prod(dim=-1),
}


def law(surface: TriangleSurface) -> trimesh.Trimesh:
    """The promise of clean.py in trimesh's words, after its own vertex merging."""
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=True)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert mesh.body_count == 1
    return mesh


@pytest.mark.parametrize("name", FIELDS)
def test_cleaned_smoothed_and_simplified_bodies_are_sound(name: str):
    body = clean(extract_surface(FIELDS[name], resolution=64, coarse=32), smoothing=3)
    law(body)
    small = simplify(body, 1500)
    law(small)
    assert len(small.faces) <= 1600
    assert small.volume == pytest.approx(body.volume, rel=0.1)


def test_the_largest_body_is_kept():
    kept = clean(extract_surface(FIELDS["two spheres"], resolution=64, coarse=32))
    assert kept.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.01)


def test_internal_cavities_are_filled():
    kept = clean(extract_surface(FIELDS["inner cavity"], resolution=64, coarse=32))
    assert kept.volume == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.01)


def test_smoothing_keeps_volume_and_flattens_steps():
    body = clean(extract_surface(FIELDS["noise"], resolution=64, coarse=32))
    smoothed = smooth(body, 10)

    def roughness(surface):
        mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
        return mesh.face_adjacency_angles.mean()

    assert roughness(smoothed) < 0.75 * roughness(body)
    assert smoothed.volume == pytest.approx(body.volume, rel=0.02)


def test_torn_meshes_are_repaired():
    whole = trimesh.creation.icosphere(3, 0.5)
    faces = np.delete(whole.faces, [0, 1, 2, 200, 555], axis=0)
    torn = TriangleSurface(np.asarray(whole.vertices, np.float32), faces.astype(np.int32))
    mesh = law(clean(torn))
    assert mesh.volume == pytest.approx(whole.volume, rel=0.02)


def test_pinched_meshes_are_repaired():
    """Two boxes that share an edge: four faces along it, which no merging of vertices can undo."""
    a = trimesh.creation.box((0.4, 0.4, 0.4))
    b = trimesh.creation.box((0.3, 0.3, 0.4))
    b.apply_translation([0.35, 0.35, 0])
    both = trimesh.util.concatenate([a, b])
    law(clean(TriangleSurface(np.asarray(both.vertices, np.float32), np.asarray(both.faces, np.int32))))


def test_soundness_sees_each_fault():
    whole = trimesh.creation.icosphere(2, 0.5)
    vertices, faces = np.asarray(whole.vertices, np.float32), np.asarray(whole.faces, np.int32)
    assert is_sound(TriangleSurface(vertices, faces))
    assert not is_sound(TriangleSurface(vertices, faces[1:]))
    assert not is_sound(TriangleSurface(vertices, faces[:, ::-1]))
    assert not is_sound(TriangleSurface(np.r_[vertices, vertices], np.r_[faces, faces + len(vertices)]))
    flipped = faces.copy()
    flipped[0] = flipped[0, ::-1]
    assert not is_sound(TriangleSurface(vertices, flipped))


def test_normals_point_outward():
    body = clean(extract_surface(FIELDS["noise"], resolution=64, coarse=32))
    centers = body.vertices[body.faces].mean(axis=1)
    assert ((face_normals(body) * centers).sum(-1) > 0).mean() > 0.95


def test_inside_out_fields_are_an_error():
    whole = trimesh.creation.icosphere(2, 0.5)
    with pytest.raises(ValueError, match="negative inside"):
        clean(TriangleSurface(np.asarray(whole.vertices, np.float32), np.asarray(whole.faces[:, ::-1], np.int32)))


def test_simplify_refuses_what_is_not_sound():
    whole = trimesh.creation.icosphere(2, 0.5)
    with pytest.raises(ValueError, match="clean"):
        simplify(TriangleSurface(np.asarray(whole.vertices, np.float32), np.asarray(whole.faces[1:], np.int32)), 50)


def test_what_is_thrown_away_is_known_beforehand():
    share = detached_share(extract_surface(FIELDS["two spheres"], resolution=64, coarse=32))
    assert share == pytest.approx(0.2**3 / (0.2**3 + 0.4**3), rel=0.05)
    assert detached_share(extract_surface(FIELDS["inner cavity"], resolution=64, coarse=32)) == 0
