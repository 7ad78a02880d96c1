import numpy as np
import pytest

from humanlrm.people.procedural import garments
from humanlrm.people.procedural.atlas import join_body
from humanlrm.people.procedural.bodies import rig, sample_body, skin
from humanlrm.people.procedural.cloth import PATTERNS, mix, sample_cloth
from humanlrm.people.procedural.lofts import hull_ring, loft, skirt
from humanlrm.people.procedural.person import _dressed
from humanlrm.people.procedural.sites import ATLAS_PX, texels, vertex_sites


def _rings(n=5, m=16):
    angle = np.arange(m) * (2 * np.pi / m)
    circle = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    return np.stack([circle + np.array([0, -k, 0]) for k in range(n)])


@pytest.mark.parametrize("flip", [1, -1])
def test_a_loft_of_circles_has_the_volume_of_a_cylinder_whichever_way_it_turns(flip):
    rings = _rings()[:, ::flip]
    part = loft("skirt", rings, rings)
    a, b, c = part.vertices[part.faces].transpose(1, 0, 2)
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    assert volume == pytest.approx(4 * 16 / 2 * np.sin(2 * np.pi / 16), rel=1e-4)


def test_a_loft_refuses_a_single_ring():
    with pytest.raises(ValueError, match="rings"):
        loft("skirt", _rings(1), _rings(1))


def test_two_parts_cannot_share_a_place_in_the_texture():
    part = loft("skirt", _rings(), _rings())
    with pytest.raises(ValueError, match="rectangle"):
        join_body(rig().vertices, [part, part])


def test_a_hull_ring_encloses_its_points():
    points = np.random.default_rng(0).normal(0, 1, (60, 3)) * (1, 0, 0.8)
    ring = hull_ring(points, np.zeros(3), np.array([[1.0, 0, 0], [0, 0, 1.0]]), 48, 0.01)
    reach, need = (np.hypot(p[:, 0], p[:, 2]) for p in (ring, points))
    at = np.arctan2(points[:, 2], points[:, 0])
    order = np.argsort(np.arctan2(ring[:, 2], ring[:, 0]))
    limit = np.interp(at, np.arctan2(ring[:, 2], ring[:, 0])[order], reach[order], period=2 * np.pi)
    assert (need <= limit * 1.02 + 0.02).all()


@pytest.mark.parametrize("length", [0.3, 1.0, 1.8])
def test_a_skirt_hides_the_thighs_between_waist_and_hem(length):
    posed = sample_body(np.random.default_rng(3)).vertices
    part = skirt(posed, 1.03, length, 0.05, np.random.default_rng(0))
    assert np.isfinite(part.vertices).all()
    assert np.ptp(part.vertices[:, 0]) > 0.25
    assert part.vertices[:, 1].max() < 1.3


def test_garments_move_the_skin_by_centimetres_at_most():
    body = sample_body(np.random.default_rng(4))
    naked = skin(body, {})
    for seed in range(8):
        rng = np.random.default_rng(seed)
        moved = np.linalg.norm(_dressed(naked, garments.sample_outfit(rng, body.sex, 10, 10), rng) - naked, axis=1)
        assert moved.max() < 0.14
        assert np.median(moved) < 0.05


def test_nobody_striding_wears_a_tube_around_both_legs():
    outfits = [garments.sample_outfit(np.random.default_rng(s), "female", 80, 20) for s in range(60)]
    assert all(outfit.tail is None for outfit in outfits)


def test_hands_and_face_stay_bare():
    sites = vertex_sites()
    face = (sites.head > 0.9) & (sites.position[:, 2] > 0.13) & (sites.position[:, 1] < 1.6)
    for seed in range(20):
        outfit = garments.sample_outfit(np.random.default_rng(seed), "male", 10, 10)
        cover = garments.top_cover(outfit.top, sites)
        assert (cover[face] < 0).all(), outfit.top
        assert (cover[(sites.hand > 0.99) & (sites.along_arm > 2.2)] < 0).all()
        assert (garments.hair_cover(outfit.hair, sites)[face] < 0).all()


def test_every_texel_of_the_atlas_has_a_painted_neighbour():
    table = texels()
    assert table.nearest.shape == (ATLAS_PX**2,)
    assert table.nearest.min() >= 0
    assert np.array_equal(table.nearest[table.index], np.arange(len(table.index)))


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_fabric_paints_the_same_place_alike_each_time(kind):
    fabric = sample_cloth(np.random.default_rng(0), kind)
    place = np.random.default_rng(1).uniform(-0.2, 1.4, (500, 3)).astype(np.float32)
    colors = fabric.paint(place)
    assert np.array_equal(colors, fabric.paint(place))
    assert np.isfinite(colors).all()
    assert colors.dtype == np.float32


def test_mixing_leaves_untouched_places_and_the_input_alone():
    ground = np.zeros((3, 3), np.float32)
    mixed = mix(ground, np.ones(3), np.array([0, 0.5, 1]))
    np.testing.assert_allclose(mixed, np.array([[0] * 3, [0.5] * 3, [1] * 3]))
    assert not ground.any()
