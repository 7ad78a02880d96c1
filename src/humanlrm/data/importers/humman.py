"""HuMMan v1.0, reconstruction split: ten calibrated Kinects around a person, with masks.

Layout as read from caizhongang/humman_toolbox (``humman_recon/README.md``) and SHERF (``HuMMan_dataset.py``). The world
is the frame of the first color camera, so its Y axis points down.
"""

from pathlib import Path

from humanlrm.camera import TO_Y_UP
from humanlrm.data.capture import Capture
from humanlrm.data.importers.adapter import Adapter, Item
from humanlrm.data.importers.io.pickles import get_array
from humanlrm.data.job import Options
from humanlrm.files import read_json
from humanlrm.photo.calibrated import Shot, add_half_pixel, read_shots, rigid_matrix

#: The test split's hand-made masks are better than the automatic ones.
_MASKS = ("kinect_mask_manual", "kinect_mask")
_SUFFIXES = (".png", ".jpg")


def find(source: Path) -> list[Item]:
    """Every frame of every sequence ``**/pXXXXXX_aXXXXXX`` that has a ``cameras.json``."""
    items = []
    for cameras in sorted(source.rglob("cameras.json")):
        sequence = cameras.parent
        names = {p.stem for p in sequence.glob("kinect_color/kinect_*/*") if p.suffix in _SUFFIXES}
        items += [Item(f"{sequence.name}-{name}", sequence, sequence.name, k) for k, name in enumerate(sorted(names))]
    return items


def read(item: Item, options: Options) -> Capture:
    """One frame; cameras whose picture or mask is missing are left out, as some are."""
    cameras, frame = item.path / "cameras.json", item.id.removeprefix(f"{item.group}-")
    shots = []
    for name, camera in sorted(read_json(cameras).items()):
        if not name.startswith("kinect_color_"):
            continue
        kinect = f"kinect_{name.removeprefix('kinect_color_')}"
        image = _existing(item.path / "kinect_color" / kinect, frame)
        masks = [_existing(item.path / folder / kinect, frame) for folder in _MASKS]
        mask = next((path for path in masks if path is not None), None)
        if image is None or mask is None:
            continue
        K, R = get_array(camera, "K", (3, 3), cameras), get_array(camera, "R", (3, 3), cameras)
        w2c = rigid_matrix(R, get_array(camera, "T", (3,), cameras), f"{cameras}, {name}")
        shots.append(Shot(image, mask, add_half_pixel(K), w2c))
    return Capture(
        views=read_shots(shots, TO_Y_UP[options.up or "-y"], options.image_px),
        tags={"unit": "m", "up": "the first camera's" if options.up is None else f"stated: {options.up}"},
    )


def _existing(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / f"{stem}{s}" for s in _SUFFIXES) if path.is_file()), None)


ADAPTER = Adapter(
    "humman",
    "HuMMan v1.0 reconstruction",
    "pXXXXXX_aXXXXXX/{cameras.json, kinect_color/kinect_NNN/*.png, kinect_mask/kinect_NNN/*.png}",
    find,
    read,
    "HuMMan: S-Lab licence, non-commercial",
)
