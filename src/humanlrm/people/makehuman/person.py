"""Composed people: MakeHuman bodies in MakeHuman garments, as one textured scan.

The body comes from ``anny`` on the MakeHuman base mesh; hair, brows, eyes, shoes and clothes hang on its vertices and
follow its bones.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from humanlrm.data.scan import Scan
from humanlrm.people.facts import age_years
from humanlrm.people.makehuman.assets import ACCESSORIES, MakeHumanAssets, random_outfit, skirts_for
from humanlrm.people.makehuman.dress import dressed_scan
from humanlrm.people.poses.balance import random_pose
from humanlrm.people.poses.pack import Split


@cache
def load_assets(assets: Path, split: Split) -> MakeHumanAssets:
    """The MakeHuman assets of an asset pack, opened once per process."""
    return MakeHumanAssets(assets, split)


def random_phenotype(rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """Sex and anny's numbers: mostly adults of all builds, 6% older children."""
    sex = "female" if rng.random() < 0.5 else "male"
    age = rng.uniform(0.36, 0.5) if rng.random() < 0.06 else 0.55 + 0.4 * rng.beta(1.5, 2.2)
    return sex, {
        "gender": float(np.clip((0.93 if sex == "female" else 0.07) + rng.normal(0, 0.08), 0, 1)),
        "age": float(age),
        "muscle": float(rng.beta(2.2, 2.2)),
        "weight": float(rng.beta(2.2, 2.4)),
        "height": float(rng.beta(2.5, 2.5)),
        "proportions": float(rng.uniform(0.3, 0.9)),
    }


def random_height_m(sex: str, age: float, rng: np.random.Generator) -> float:
    """Stature: 1.64 (women) or 1.77 (men) with a spread of 8 cm within 1.45-2.0, less for children."""
    if age < 0.52:
        return float(rng.uniform(1.15, 1.5))
    return float(np.clip(rng.normal(1.64 if sex == "female" else 1.77, 0.08), 1.45, 2.0))


def make_composed(assets: Path, seed: int, *, split: Split = "train") -> Scan:
    """A person made of a random MakeHuman body in random garments; the same seed gives the same person.

    Metres, lowest point at y = 0, centred in x and z, facing +Z; all 19 landmarks are known.

    Args:
        assets: root of the asset pack.
        split: which side of the pose split to use; bodies and garments are the same on both sides.

    Raises:
        FileNotFoundError: a part of the asset pack is missing.
    """
    pack = load_assets(Path(assets), split)
    rng = np.random.default_rng([seed, 0xC107])
    sex, phenotype = random_phenotype(rng)
    source, quats = random_pose(pack.poses, pack.split, rng)
    outfit = random_outfit(pack, sex, phenotype["age"], rng, skirts=skirts_for(quats))
    height_m = random_height_m(sex, phenotype["age"], rng)
    scan = dressed_scan(pack, phenotype, outfit, quats, rng, height_m=height_m, hands_inside="pocket" in source)
    tags: dict[str, str | float] = {
        "sex": sex,
        "pose": source,
        "age_years": age_years(phenotype["age"]),
        "clothes": "+".join(outfit.clothes + tuple(n for n in outfit.head if pack.records[n]["kind"] in ACCESSORIES)),
        "height_m": height_m,
    }
    return replace(scan, id=f"composed_{seed}", tags=tags)
