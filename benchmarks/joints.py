"""Where the landmarks of the different kinds of people lie beside the surface, at rest: they should agree.

Run: ``python -m benchmarks.joints --assets DIR``. One column for bodies of anny, one for the asset pack's avatars:
means and deviations over people, in shares of the height, or of the slab of the surface that the landmark lies in.
"""

import argparse
from pathlib import Path

import numpy as np

from humanlrm.body.landmarks import INDEX
from humanlrm.people.avatars.person import AvatarLibrary, rig_landmarks
from humanlrm.people.procedural.bodies import landmarks, sample_body

#: Half the thickness of a slab, and half the width of a leg, in heights.
_SLAB, _LEG = 0.012, 0.08


def places(vertices: np.ndarray, marks: np.ndarray) -> dict[str, float]:
    """Numbers without a scale that say where the landmarks of the left side are."""
    low, height = vertices[:, 1].min(), float(np.ptp(vertices[:, 1]))
    at = {name: marks[INDEX[f"left_{name}" if f"left_{name}" in INDEX else name]] for name in _NAMES}
    left = vertices[vertices[:, 0] > 0]
    foot = left[left[:, 1] - low < 0.05 * height]
    share = lambda value, along: float((value - along.min()) / np.ptp(along))  # noqa: E731
    found = {
        f"{name}, up": float(at[name][1] - low) / height for name in ("hip", "knee", "ankle", "toe", "neck", "head")
    }
    found |= {f"{name}, out": float(at[name][0]) / height for name in ("hip", "shoulder")}
    found |= {f"{name}, along the foot": share(at[name][2], foot[:, 2]) for name in ("ankle", "toe")}
    found["toe, across the foot"] = share(at["toe"][0], foot[:, 0])
    for name in ("hip", "knee"):
        slab = left[np.abs(left[:, 1] - at[name][1]) < _SLAB * height]
        slab = slab[np.abs(slab[:, 0] - at[name][0]) < _LEG * height]
        found[f"{name}, depth in the leg"] = share(at[name][2], slab[:, 2])
    middle = vertices[np.abs(vertices[:, 0]) < 0.03 * height]
    neck = middle[np.abs(middle[:, 1] - at["neck"][1]) < _SLAB * height]
    found["neck, depth in the neck"] = share(at["neck"][2], neck[:, 2]) if len(neck) > 3 else np.nan
    skull = middle[middle[:, 1] > at["neck"][1] + 0.03 * height]
    found["head, depth in the head"] = share(at["head"][2], skull[:, 2])
    for name, first, last in (
        ("shoulder", "shoulder", "elbow"),
        ("elbow", "shoulder", "wrist"),
        ("wrist", "elbow", "hand"),
    ):
        along = (at[last] - at[first]) / np.linalg.norm(at[last] - at[first])
        away = left - at[name]
        reach = away @ along
        away = away - reach[:, None] * along
        ring = away[(np.abs(reach) < _SLAB * height) & (np.linalg.norm(away, axis=1) < 0.065 * height)]
        upward = np.array([0, 1, 0]) - along[1] * along
        found[f"{name}, above the arm's middle"] = -float(np.mean(_ends(ring @ upward))) / height
        found[f"{name}, before the arm's middle"] = -float(np.mean(_ends(ring[:, 2]))) / height
    for first, last in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "hand")):
        found[f"{first} to {last}"] = float(np.linalg.norm(at[first] - at[last])) / height
    tip = _fingertip(left, at)
    found["hand to the fingertips"] = float(np.linalg.norm(tip - at["hand"])) / height
    return found


_NAMES = ("hip", "knee", "ankle", "toe", "neck", "head", "shoulder", "elbow", "wrist", "hand")


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _fingertip(left: np.ndarray, at: dict[str, np.ndarray]) -> np.ndarray:
    """The vertex that is farthest from the elbow behind the wrist."""
    beyond = (left - at["wrist"]) @ (at["wrist"] - at["elbow"]) > 0
    near = np.linalg.norm(left - at["wrist"], axis=1) < 0.2
    hand = left[beyond & near]
    return hand[np.linalg.norm(hand - at["elbow"], axis=1).argmax()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--people", type=int, default=60)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    bodies = [body for body in (sample_body(rng) for _ in range(2 * options.people)) if body.age > 0.55][
        : options.people
    ]
    anny = [places(body.vertices, landmarks(body, {}, body.vertices)) for body in bodies]
    library = AvatarLibrary(options.assets, "train")
    avatars = [library.avatar(name) for name in library.ids[:: max(1, len(library) // options.people)]]
    still = lambda rig: (np.tile(np.eye(3), (len(rig.names), 1, 1)), rig.rest)  # noqa: E731
    theirs = [places(a.vertices, rig_landmarks(a, still(a.armature), a.vertices[a.nose])) for a in avatars]
    print(f"{'':32s} {'anny':>15s} {'avatars':>15s} {'apart':>7s}")
    for name in anny[0]:
        (a, sa), (b, sb) = ((np.nanmean(v), np.nanstd(v)) for v in ([p[name] for p in anny], [p[name] for p in theirs]))
        print(f"{name:32s} {a:7.3f} ± {sa:.3f} {b:7.3f} ± {sb:.3f} {b - a:+7.3f}")


if __name__ == "__main__":
    main()
