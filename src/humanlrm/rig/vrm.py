"""VRM 1.0: a glTF person in T-pose, whose bones and rights are named in an extension."""

from typing import Any

from humanlrm.rig.skeleton import JOINTS

#: Rights that nobody has given: only the person shown may use the file, for nothing that earns money, unchanged.
_RIGHTS = {
    "licenseUrl": "https://vrm.dev/licenses/1.0/",
    "avatarPermission": "onlyAuthor",
    "allowExcessivelyViolentUsage": False,
    "allowExcessivelySexualUsage": False,
    "commercialUsage": "personalNonProfit",
    "allowPoliticalOrReligiousUsage": False,
    "allowAntisocialOrHateUsage": False,
    "creditNotation": "required",
    "allowRedistribution": False,
    "modification": "prohibited",
}


def vrm_extension(name: str, author: str, first_joint: int, version: str) -> dict[str, Any]:
    """``VRMC_vrm`` of a file whose joints are the nodes from ``first_joint`` on.

    Args:
        author: of the person; VRM asks for one.
    """
    bones = {joint: {"node": first_joint + number} for number, joint in enumerate(JOINTS)}
    meta = {"name": name, "version": version, "authors": [author], **_RIGHTS}
    return {"VRMC_vrm": {"specVersion": "1.0", "meta": meta, "humanoid": {"humanBones": bones}}}
