"""`make demo`: a real photograph to a textured GLB and a preview picture; prints paths, seconds and peak memory."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage.data import astronaut


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="default: NASA's portrait of Eileen Collins (public domain)")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        photo = options.photo
        if photo is None:
            photo = Path(folder) / "astronaut.png"
            Image.fromarray(astronaut()).save(photo)
        glb, preview = options.out / f"{photo.stem}.glb", options.out / f"{photo.stem}.png"
        command = [
            sys.executable,
            "-m",
            "humanlrm.cli",
            "reconstruct",
            str(photo),
            "-o",
            str(glb),
            "--preview",
            str(preview),
        ]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
