"""USDZ for phones: mesh, material and texture in an uncompressed archive, as ARKit wants it."""

# usd-core has no types: its names come from binary modules.
# pyright: reportAttributeAccessIssue=false

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from humanlrm.mesh.export.gltf import encode_image
from humanlrm.mesh.export.model import ROUGHNESS, PersonModel
from humanlrm.output_settings import missing_extra


def encode_usdz(model: PersonModel) -> bytes:
    """One .usdz file: metres, y up.

    Raises:
        ValueError: the package usd-core is not installed.
    """
    if (reason := missing_extra(".usdz")) is not None:
        raise ValueError(reason)
    from pxr import UsdUtils

    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "color.png").write_bytes(encode_image(model.mesh.texture, "png"))
        if model.normal_map is not None:
            (folder / "normals.png").write_bytes(encode_image(model.normal_map, "png"))
        _write_stage(folder / "person.usdc", model)
        # The package writer puts every file at a multiple of 64 bytes, uncompressed.
        if not UsdUtils.CreateNewARKitUsdzPackage(str(folder / "person.usdc"), str(folder / "person.usdz")):
            raise ValueError("usd-core could not write the .usdz package")
        return (folder / "person.usdz").read_bytes()


def _write_stage(path: Path, model: PersonModel) -> None:
    from pxr import Sdf, Usd, UsdGeom, UsdShade

    stage: Any = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, "/person")
    stage.SetDefaultPrim(root.GetPrim())
    Usd.ModelAPI(root.GetPrim()).SetKind("component")
    root.GetPrim().SetCustomDataByKey("generator", str(model.provenance.get("generator", "humanlrm")))
    if model.provenance:
        stage.GetRootLayer().comment = str(model.provenance.get("copyright", ""))
        stage.GetRootLayer().customLayerData = {"humanlrm": model.provenance_text}
    mesh = UsdGeom.Mesh.Define(stage, "/person/mesh")
    _fill_mesh(mesh, model)
    material = UsdShade.Material.Define(stage, "/person/material")
    surface = UsdShade.Shader.Define(stage, "/person/material/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(ROUGHNESS)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    reader = UsdShade.Shader.Define(stage, "/person/material/uv")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    uv = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    color = _texture(stage, "color", "sRGB", uv)
    kinds = Sdf.ValueTypeNames
    surface.CreateInput("diffuseColor", kinds.Color3f).ConnectToSource(color.ConnectableAPI(), "rgb")
    if model.normal_map is not None:
        normals = _texture(stage, "normals", "raw", uv)
        normals.CreateInput("scale", kinds.Float4).Set((2, 2, 2, 1))
        normals.CreateInput("bias", kinds.Float4).Set((-1, -1, -1, 0))
        surface.CreateInput("normal", kinds.Normal3f).ConnectToSource(normals.ConnectableAPI(), "rgb")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
    stage.GetRootLayer().Save()


def _fill_mesh(mesh: Any, model: PersonModel) -> None:
    from pxr import Sdf, UsdGeom, Vt

    vertices = np.ascontiguousarray(model.mesh.vertices, np.float32)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(vertices))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(model.mesh.faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(model.mesh.faces, np.int32).ravel()))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(model.mesh.normals, np.float32)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    # Subdivision is on where nothing is said.
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([vertices.min(0), vertices.max(0)])))
    st = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
    st.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(model.mesh.uv, np.float32)))


def _texture(stage: Any, name: str, color_space: str, uv: Any) -> Any:
    """A picture of the package, read at the mesh's texture coordinates."""
    from pxr import Sdf, UsdShade

    texture = UsdShade.Shader.Define(stage, f"/person/material/{name}")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"{name}.png")
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(color_space)
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(uv)
    for wrap in ("wrapS", "wrapT"):
        texture.CreateInput(wrap, Sdf.ValueTypeNames.Token).Set("clamp")
    texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    return texture
