"""Tiny data sets in the layouts that the adapters read, written from one procedural person."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation
from trimesh.caching import TrackedArray

from humanlrm.camera import Cameras, look_at, to_opengl
from humanlrm.data.render.renderer import SceneRenderer
from humanlrm.data.scan import Scan
from humanlrm.photo.calibrated import distort

# ---- scans


def save_obj(path: Path, scan: Scan, vertices: np.ndarray, picture: str | None, mtl: bool = True) -> None:
    """An OBJ with separate texture indices; ``picture`` is the texture's path from the OBJ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"mtllib {path.stem}.mtl\nusemtl material0"] if mtl else []
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in vertices]
    lines += [f"vt {u:.7g} {v:.7g}" for u, v in scan.uv]
    corners = np.stack([scan.faces, scan.uv_faces], axis=-1).reshape(-1, 6) + 1
    lines += ["f {}/{} {}/{} {}/{}".format(*row) for row in corners]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if picture is not None:
        target = path.parent / picture
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(scan.texture).save(target, quality=95)
    if mtl:
        path.with_suffix(".mtl").write_text(f"newmtl material0\nmap_Kd {picture}\n", encoding="utf-8")


def as_trimesh(scan: Scan, vertices: np.ndarray) -> trimesh.Trimesh:
    """Textured, vertices doubled at seams."""
    pairs, inverse = np.unique(np.stack([scan.faces, scan.uv_faces], -1).reshape(-1, 2), axis=0, return_inverse=True)
    visual = trimesh.visual.TextureVisuals(
        uv=scan.uv[pairs[:, 1]],
        material=trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(scan.texture)),
    )
    return trimesh.Trimesh(vertices[pairs[:, 0]], inverse.reshape(-1, 3), visual=visual, process=False)


def vertex_colors(scan: Scan) -> np.ndarray:
    """The texel at one of each vertex's texture coordinates."""
    uv = np.zeros((len(scan.vertices), 2))
    uv[scan.faces.ravel()] = scan.uv[scan.uv_faces.ravel()]
    height, width = scan.texture.shape[:2]
    return scan.texture[((1 - uv[:, 1]) * height).astype(int), (uv[:, 0] * width).astype(int)]


def save_colored_ply(path: Path, scan: Scan, vertices: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh = trimesh.Trimesh(vertices, scan.faces, vertex_colors=vertex_colors(scan), process=False)
    mesh.export(path)


def thuman(root: Path, scan: Scan, yaw_deg: float = 130, scale: float = 0.416, fit: bool = True) -> None:
    rotation, offset = Rotation.from_euler("y", yaw_deg, degrees=True), np.array([0.3, -0.2, 0.1])
    vertices = rotation.apply(scan.vertices) * scale + offset
    save_obj(root / "THuman2.0" / "0007" / "0007.obj", scan, vertices, "material0.jpeg")
    if fit:
        parameters = {
            "betas": np.zeros((1, 10), np.float32),
            "global_orient": rotation.as_rotvec()[None].astype(np.float32),
            "scale": np.array([scale]).view(TrackedArray),
            "translation": offset,
        }
        path = root / "THuman2.0_smplx" / "0007" / "smplx_param.pkl"
        path.parent.mkdir(parents=True)
        path.write_bytes(pickle.dumps(parameters))


def custom_humans(root: Path, scan: Scan) -> None:
    folder = root / "mesh" / "0383_00070_02_00061"
    save_obj(folder / "mesh-f00061.obj", scan, scan.vertices - [0, 0.9, 0], "mesh-f00061.png")


def two_k_ply(root: Path, scan: Scan) -> None:
    save_colored_ply(root / "00003" / "00003.ply", scan, scan.vertices * 57.0)


def two_k_obj(root: Path, scan: Scan) -> None:
    save_obj(root / "00003" / "00003.obj", scan, scan.vertices * 57.0, "00003.png", mtl=False)


def x_humans(root: Path, scan: Scan) -> None:
    folder = root / "00016" / "train" / "Take2" / "meshes_pkl"
    folder.mkdir(parents=True)
    mesh = as_trimesh(scan, scan.vertices)
    arrays = {
        "vertices": np.asarray(mesh.vertices, np.float32),
        "normals": np.asarray(mesh.vertex_normals, np.float32),
        "uvs": np.asarray(mesh.visual.uv, np.float32),
        "faces": np.asarray(mesh.faces, np.int64),
    }
    (folder / "mesh-f00001.pkl").write_bytes(pickle.dumps(arrays))
    (folder / "atlas-f00001.pkl").write_bytes(pickle.dumps(scan.texture[::-1].copy()))


def renderpeople(root: Path, scan: Scan) -> None:
    """Centimetres, +Z up."""
    name = "rp_somebody_posed_001"
    x, y, z = scan.vertices.T * 100
    path = root / f"{name}_OBJ" / f"{name}_100k.OBJ"
    save_obj(path, scan, np.stack([x, -z, y], -1), f"tex/{name}_dif_2k.jpg", mtl=False)


def scans_obj(root: Path, scan: Scan) -> None:
    save_obj(root / "a" / "person.obj", scan, scan.vertices * 100, "person.png")


def scans_ply(root: Path, scan: Scan) -> None:
    save_colored_ply(root / "person.ply", scan, scan.vertices * 1000)


def scans_glb(root: Path, scan: Scan) -> None:
    as_trimesh(scan, scan.vertices).export(root / "person.glb")


# ---- captures


@dataclass(frozen=True)
class Photographs:
    """What cameras around the person saw; cameras in the person's world."""

    rgb: list[np.ndarray]
    masks: list[np.ndarray]
    cameras: list[Cameras]
    distortion: np.ndarray


def photographs(scan: Scan, views: int = 4, distortion: tuple[float, ...] = (0, 0, 0, 0, 0)) -> Photographs:
    """Views from around at 360 x 300 px, through a lens."""
    studio = SceneRenderer(scan)
    rgb, masks, cameras = [], [], []
    for k in range(views):
        angle = 2 * np.pi * k / views + 0.2
        eye = studio.center + 3.0 * np.array([np.sin(angle), 0.1, np.cos(angle)])
        K = torch.tensor([[420.0, 0, 148.25], [0, 425.0, 183.5], [0, 0, 1]], dtype=torch.float64)
        w2c = look_at(torch.from_numpy(eye).double(), torch.from_numpy(studio.center).double())
        camera = Cameras(K, w2c, (360, 300))
        picture, mask = _through_lens(studio, camera, np.array(distortion, float))
        rgb.append(picture)
        masks.append(mask)
        cameras.append(camera)
    return Photographs(rgb, masks, cameras, np.array(distortion, float))


def _through_lens(studio: SceneRenderer, camera: Cameras, distortion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = camera.size_px
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    K, c2w = camera.K.numpy(), camera.c2w.numpy()
    seen = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1]], -1)
    ideal = seen
    for _ in range(20):
        ideal = ideal + seen - distort(ideal, distortion)
    rays = np.concatenate([ideal, np.ones_like(x)[..., None]], -1) @ c2w[:3, :3].T
    hits = studio.scene.first_hit(c2w[:3, 3].astype(np.float32), rays.astype(np.float32))
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[hits.hit] = (studio.scan.albedo(hits.face[hits.hit], hits.barycentric[hits.hit]) * 255).astype(np.uint8)
    return picture, hits.hit


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def in_world(camera: Cameras, world: np.ndarray) -> np.ndarray:
    """w2c when the world's points are ``world @ point`` of ours."""
    return camera.w2c.numpy() @ np.linalg.inv(world)


def turned(rotation: np.ndarray) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = rotation
    return out


def humman(root: Path, shown: Photographs) -> None:
    """The world is +Y down; masks are 0 and 1; OpenCV's K; the last camera's picture is missing."""
    folder, cameras = root / "p000001_a000002", {}
    for k, (rgb, mask, camera) in enumerate(zip(shown.rgb, shown.masks, shown.cameras, strict=True)):
        w2c, K = in_world(camera, turned(np.diag([1.0, -1, -1]))), camera.K.numpy().copy()
        K[:2, 2] -= 0.5
        numbers = {"K": K.tolist(), "R": w2c[:3, :3].tolist(), "T": w2c[:3, 3].tolist()}
        cameras[f"kinect_color_{k:03d}"] = cameras[f"kinect_depth_{k:03d}"] = numbers
        save(folder / "kinect_mask" / f"kinect_{k:03d}" / "000006.png", mask.astype(np.uint8))
        if k < len(shown.rgb) - 1:
            save(folder / "kinect_color" / f"kinect_{k:03d}" / "000006.png", rgb)
    (folder / "cameras.json").write_text(json.dumps(cameras), encoding="utf-8")


def zju(root: Path, shown: Photographs) -> None:
    """Millimetres, +Z up, OpenCV's K and lens, part labels as masks."""
    folder = root / "CoreView_377"
    to_z_up = turned(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))
    cams, names = {"K": [], "D": [], "R": [], "T": []}, []
    for k, (rgb, mask, camera) in enumerate(zip(shown.rgb, shown.masks, shown.cameras, strict=True)):
        w2c, K = in_world(camera, to_z_up), camera.K.numpy().copy()
        K[:2, 2] -= 0.5
        for name, value in zip("KDRT", (K, shown.distortion[:, None], w2c[:3, :3], w2c[:3, 3:] * 1000), strict=True):
            cams[name].append(value)
        names.append(f"Camera_B{k + 1}/000000.png")
        save(folder / names[-1], rgb)
        save(folder / "mask_cihp" / names[-1], mask.astype(np.uint8) * 7)
    np.save(folder / "annots.npy", {"cams": cams, "ims": [{"ims": names}]}, allow_pickle=True)


def nerfstudio(root: Path, shown: Photographs) -> None:
    """+Z up, OpenGL cameras, mask as a file for the first frames and as alpha for the last one."""
    to_z_up = turned(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))
    K, frames = shown.cameras[0].K.numpy(), []
    for k, (rgb, mask, camera) in enumerate(zip(shown.rgb, shown.masks, shown.cameras, strict=True)):
        c2w = np.linalg.inv(to_opengl(torch.from_numpy(in_world(camera, to_z_up))).numpy())
        frame: dict = {"file_path": f"images/{k}.png", "transform_matrix": c2w.tolist()}
        cover = mask.astype(np.uint8) * 255
        if k == len(shown.rgb) - 1:
            save(root / "images" / f"{k}.png", np.dstack([rgb, cover]))
        else:
            save(root / "images" / f"{k}.png", rgb)
            save(root / "masks" / f"{k}.png", cover)
            frame["mask_path"] = f"masks/{k}.png"
        frames.append(frame)
    k1, k2, p1, p2, _ = shown.distortion
    facts = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": 300, "h": 360}
    facts |= {"k1": k1, "k2": k2, "p1": p1, "p2": p2, "camera_model": "OPENCV", "frames": frames}
    (root / "transforms.json").write_text(json.dumps(facts), encoding="utf-8")


def colmap(root: Path, shown: Photographs, world: np.ndarray | None = None) -> None:
    """A text model in sparse/0; empty lines of points; masks named as COLMAP names them."""
    model = root / "sparse" / "0"
    model.mkdir(parents=True)
    K = shown.cameras[0].K.numpy()
    k1, k2, p1, p2, _ = shown.distortion
    numbers = (300, 360, K[0, 0], K[1, 1], K[0, 2], K[1, 2], k1, k2, p1, p2)
    (model / "cameras.txt").write_text(
        f"# cameras\n1 OPENCV {' '.join(str(float(n)) for n in numbers)}\n", encoding="utf-8"
    )
    lines = ["# images"]
    for k, (rgb, mask, camera) in enumerate(zip(shown.rgb, shown.masks, shown.cameras, strict=True)):
        w2c = in_world(camera, np.eye(4) if world is None else world)
        quaternion = Rotation.from_matrix(w2c[:3, :3]).as_quat(scalar_first=True)
        pose = " ".join(repr(float(n)) for n in (*quaternion, *w2c[:3, 3]))
        lines += [f"{k + 1} {pose} 1 shot {k}.png", "" if k % 2 else "10.0 20.0 -1"]
        save(root / "images" / f"shot {k}.png", rgb)
        save(root / "masks" / f"shot {k}.png.png", mask.astype(np.uint8) * 255)
    (model / "images.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
