"""A folder of synthetic scans (OBJ with textures), to try training on scans before you have any of your own.

python examples/make_scans.py --count 20 --out my-scans
"""

import argparse
from pathlib import Path

from PIL import Image

from humanlrm.data.scan import Scan
from humanlrm.people.procedural.person import make_person


def write_obj(scan: Scan, folder: Path) -> Path:
    """Write scan.obj with its material and texture into a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scan.texture).save(folder / "texture.png")
    (folder / "scan.mtl").write_text("newmtl skin\nmap_Kd texture.png\n", encoding="utf-8")
    lines = ["mtllib scan.mtl", "usemtl skin"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in scan.vertices]
    lines += [f"vt {u:.5f} {v:.5f}" for u, v in scan.uv]
    for corners, places in zip(scan.faces + 1, scan.uv_faces + 1, strict=True):
        lines.append("f " + " ".join(f"{vertex}/{uv}" for vertex, uv in zip(corners, places, strict=True)))
    path = folder / "scan.obj"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1000, help="of the first person")
    parser.add_argument("--out", type=Path, default=Path("my-scans"))
    options = parser.parse_args()
    for number in range(options.count):
        print(write_obj(make_person(options.seed + number), options.out / f"{number:04d}"))


if __name__ == "__main__":
    main()
