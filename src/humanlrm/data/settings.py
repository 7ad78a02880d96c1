"""Settings of training data: plain values, checked when they are made. They also feed the command line."""

from dataclasses import dataclass

#: Field of view of the photographs, from a telephoto lens to a phone's wide angle.
FOV_DEG = (15.0, 60.0)


@dataclass(frozen=True)
class RenderSettings:
    """Photographs that are rendered of each person.

    Attributes:
        views: photographs of each person, spread over the circle.
        cropped: share of the photographs, 0 to 1, whose border cuts the person off.
        occluded: share of the photographs, 0 to 1, with an object in front of the person.
        holding: share of the photographs, 0 to 1, in which the person holds an object.
        own_mask: share of the photographs, 0 to 1, that come with an exact mask, like a cut-out; the others get the
            person detector's mask.
        fov_deg: narrowest and widest field of view in degrees.
        image_px: side of the square input image in pixels.
        depth_px: side of the depth, normal, target and whole-person maps in pixels.
        points: signed distance samples of each person; a third as many surface samples.
    """

    views: int = 4
    cropped: float = 0.2
    occluded: float = 0.27
    holding: float = 0.1
    own_mask: float = 0.4
    fov_deg: tuple[float, float] = FOV_DEG
    image_px: int = 256
    depth_px: int = 128
    points: int = 18000

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views must be positive, got {self.views}")
        for name in ("cropped", "own_mask", "occluded", "holding"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a share between 0 and 1, got {getattr(self, name)}")
        if not 0 < self.fov_deg[0] <= self.fov_deg[1] < 180:
            raise ValueError(f"fov_deg must be two rising angles between 0 and 180 degrees, got {self.fov_deg}")
        for name, least in (("image_px", 16), ("depth_px", 16), ("points", 3)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class SampleSettings:
    """Content of a training sample, drawn from one view of a person.

    Attributes:
        points: signed distance samples; five eighths of them near the surface.
        surface: surface samples with normal and color.
        augment: mirror, color, blur, noise, mask and landmark errors; off for validation.
        image_px: side of the image; shards hold a whole multiple of it. ``None``: as the shards hold it.
        target_views: other views of the person that come along as targets of renderings.
        head: share of points and surface samples around the head, where that is known: heads are small, and people
            look at them first.
        face: share of those that are around the nose.
        teacher_noise: size of the noise of the landmarks that people are built on; 1 is that of a good estimate.
    """

    points: int = 1024
    surface: int = 256
    augment: bool = True
    image_px: int | None = None
    target_views: int = 0
    head: float = 0.25
    face: float = 0.0
    teacher_noise: float = 1.0
