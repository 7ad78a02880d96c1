"""Tags of people of all kinds: posture and joint angles, skin tone, age in years.

All but the age is measured on the scan itself, so that the kinds of people are comparable.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from skimage.color import rgb2lab

from humanlrm.body.landmarks import INDEX
from humanlrm.data.scan import Scan, nearest_texels

#: Skin tones by individual typology angle (Chardon et al. 1991): name and lower bound in degrees.
SKIN_CLASSES = (("very light", 55.0), ("light", 41.0), ("intermediate", 28.0), ("tan", 10.0), ("brown", -30.0),
                ("dark", -91.0))  # fmt: skip
#: "action" is running, lunging, kicking: on the feet, with a leg far from where standing and walking have it.
POSTURES = ("standing", "walking", "action", "sitting", "crouching", "kneeling", "bending", "jumping", "lying")
#: anny's age numbers and the years that MakeHuman gives them.
_AGE = ((0.0, 1 / 3, 2 / 3, 1.0), (1.0, 11.0, 25.0, 90.0))
_ANGLES = {"elbow": ("shoulder", "elbow", "wrist"), "knee": ("hip", "knee", "ankle"), "hip": ("neck", "hip", "knee")}


def age_years(age: float) -> float:
    """Years of anny's age number (0 new-born, 1/3 child, 2/3 young adult, 1 old), between MakeHuman's anchors."""
    return float(np.interp(age, *_AGE))


def with_facts(scan: Scan, kind: str) -> Scan:
    """The scan with tags ``kind``, ``posture``, ``skin_tone``, ``skin_ita_deg`` and the angles of :func:`angles_deg`.

    Raises:
        ValueError: the scan has no landmarks.
    """
    if scan.landmarks is None:
        raise ValueError(f"with_facts: scan {scan.id} has no landmarks")
    angles = angles_deg(scan.landmarks)
    ita = skin_ita_deg(scan)
    tags: dict[str, str | float] = {"kind": kind, "posture": posture(scan, angles), "skin_ita_deg": round(ita, 1)}
    tags["skin_tone"] = next(name for name, least in SKIN_CLASSES if ita > least)
    return replace(scan, tags=scan.tags | tags | {f"{name}_deg": round(v, 1) for name, v in angles.items()})


def angles_deg(landmarks: Float[np.ndarray, "19 3"]) -> dict[str, float]:
    """Bend of elbows, knees and hips (0 straight), lift of the upper arms (0 hanging, 180 up), lean of the trunk."""

    def at(name: str) -> Float[np.ndarray, "3"]:
        return landmarks[INDEX[name]]

    out: dict[str, float] = {}
    trunk = at("neck") - (at("left_hip") + at("right_hip")) / 2
    for side in ("left", "right"):
        for name, (start, middle, end) in _ANGLES.items():
            first = at(start if start == "neck" else f"{side}_{start}")
            joint, last = at(f"{side}_{middle}"), at(f"{side}_{end}")
            # The line from neck to hip is slanted: hips are measured against the trunk's own direction.
            out[f"{side}_{name}"] = _between(-trunk if start == "neck" else joint - first, last - joint)
        out[f"{side}_arm"] = _between(-trunk, at(f"{side}_elbow") - at(f"{side}_shoulder"))
    out["trunk"] = _between(trunk, np.array([0.0, 1.0, 0.0]))
    return out


def _between(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    cosine = float(a @ b) / (float(np.linalg.norm(a) * np.linalg.norm(b)) + 1e-9)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def posture(scan: Scan, angles: dict[str, float]) -> str:
    """One of ``POSTURES``, by thresholds on the angles and on the heights of feet and knees."""
    marks = scan.landmarks
    assert marks is not None
    knees = sorted(angles[f"{s}_knee"] for s in ("left", "right"))
    hips = sorted(angles[f"{s}_hip"] for s in ("left", "right"))
    leg = sum(np.linalg.norm(marks[INDEX[a]] - marks[INDEX[b]]) for a, b in
              (("left_hip", "left_knee"), ("left_knee", "left_ankle")))  # fmt: skip
    height = {n: marks[[INDEX[f"left_{n}"], INDEX[f"right_{n}"]], 1] / leg for n in ("hip", "knee", "ankle", "toe")}
    stride = np.linalg.norm((marks[INDEX["left_ankle"]] - marks[INDEX["right_ankle"]])[[0, 2]]) / leg
    if angles["trunk"] > 62 and height["hip"].mean() < 0.6:
        return "lying"
    if height["knee"].min() < 0.17:
        return "kneeling" if height["hip"].mean() > 0.3 else "lying"
    if hips[0] > 50 and knees[0] > 50 and height["hip"].mean() < 0.78:
        return "crouching" if knees[0] > 105 or hips[1] > 125 else "sitting"
    if height["hip"].mean() < 0.5:
        return "sitting"
    if angles["trunk"] > 40:
        return "bending"
    if height["ankle"].min() > 0.3:
        return "jumping"
    if stride > 1.0 or knees[1] > 65 or hips[1] > 65:
        return "action"
    return "walking" if stride > 0.5 or knees[1] > 35 else "standing"


def skin_ita_deg(scan: Scan) -> float:
    """Individual typology angle of the skin around the nose: atan((L* - 50) / b*) of the median CIELAB colour."""
    assert scan.landmarks is not None
    middle = scan.vertices[scan.faces].mean(axis=1)
    near = np.linalg.norm(middle - scan.landmarks[INDEX["nose"]], axis=1)
    chosen = np.argpartition(near, 60)[:60]
    uv = scan.uv[scan.uv_faces[chosen]].mean(axis=1)
    rgb = np.median(nearest_texels(scan.texture, uv), axis=0).astype(np.uint8)
    lightness, _, yellow = rgb2lab(rgb[None, None] / 255.0)[0, 0]
    return float(np.rad2deg(np.arctan2(float(lightness) - 50, max(float(yellow), 1e-3))))
