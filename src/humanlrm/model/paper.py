"""The paper's model at any size: V views of a person, any cameras, to a triplane, and the field that reads it."""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.camera import Cameras
from humanlrm.frame import canonical_camera
from humanlrm.model.config import PaperConfig
from humanlrm.model.encoders import ViewEncoder, ViewTokens
from humanlrm.model.landmark_head import select_landmarks
from humanlrm.model.latent import LatentDecoder
from humanlrm.model.modulation import CameraEmbedding, camera_numbers
from humanlrm.model.paper_field import DensityField, PaperField
from humanlrm.model.plane_decoder import PlaneDecoder
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.model.view_head import TokenLandmarkHead, ViewHead
from humanlrm.views import Inputs

_MOST_VIEWS = 8


class PaperLRM(nn.Module):
    """Human-LRM's reconstruction model (paper, section 3.1): single-view student and multi-view teacher in one class.

    View encoder -> tokens -> plane decoder -> latent triplane -> latent decoder -> planes. With several views, or one
    that is not the canonical one, each view's tokens are modulated by its camera; a single view in the canonical frame
    is not modulated. The planes lie in the frame of the first view.
    """

    def __init__(self, config: PaperConfig, encoder: ViewEncoder) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.camera = CameraEmbedding(config.camera_width)
        self.decoder = PlaneDecoder(config, encoder.width)
        self.latent_decoder = LatentDecoder(config)
        self.head = ViewHead(encoder.width, config.depth_prior) if config.pixel_features or config.depth_prior else None
        self.landmark_head = TokenLandmarkHead(encoder.width, config) if config.landmarks else None
        self.field = PaperField(config) if config.field == "sdf" else DensityField(config)

    def encode(self, inputs: Inputs, landmarks_override: Float[Tensor, "B J 3"] | None = None) -> Triplane:
        """What a batch of the loader, or a photo, shows: one view by the canonical camera.

        ``landmarks_override``: landmarks for the field to build on instead of the estimated ones, NaN where the
        estimate has to do; the plane decoder is shown the estimate.
        """
        latent, view = self.encode_latent(inputs.image, inputs.landmarks, detector_features=inputs.detector_features)
        if view.estimated is not None:
            view = replace(view, landmarks=select_landmarks(view.estimated, landmarks_override))
        return self.decode(latent, view)

    def forward(
        self,
        image: Float[Tensor, "B *V 5 H W"],
        landmarks: Float[Tensor, "B J 4"] | None = None,
        cameras: Cameras | None = None,
        detector_features: Float[Tensor, "B J 2 E"] | None = None,
    ) -> Triplane:
        """Views to a triplane.

        Args:
            image: sRGB (not premultiplied), alpha, known (1 inside the photo), all in [0, 1]; B crops, or B times V
                views of one size.
            landmarks: detected in the first view, box units, and visibility in [0, 1]; 0 = missing. Only a model
                with the ``landmarks`` flag reads them.
            cameras: (B, V) cameras in the box frame; ``None``: one view by the canonical camera.
            detector_features: the detector's features at the landmarks; ``None``: unknown.

        Raises:
            ValueError: views without cameras, cameras that are not those of the views, no landmarks where they are
                needed, or a first view that is not canonical although points read it (the three flags).
        """
        latent, inputs = self.encode_latent(image, landmarks, cameras, detector_features)
        return self.decode(latent, inputs)

    def encode_latent(
        self,
        image: Float[Tensor, "B *V 5 H W"],
        landmarks: Float[Tensor, "B J 4"] | None = None,
        cameras: Cameras | None = None,
        detector_features: Float[Tensor, "B J 2 E"] | None = None,
    ) -> tuple[Float[Tensor, "B 3 C s s"], InputView]:
        """The latent triplane (what diffusion learns to make) and what points read off the first view."""
        view, inputs = self.look(image, landmarks, cameras, detector_features)
        return self.decoder(view.tokens), inputs

    def look(
        self,
        image: Float[Tensor, "B *V 5 H W"],
        landmarks: Float[Tensor, "B J 4"] | None = None,
        cameras: Cameras | None = None,
        detector_features: Float[Tensor, "B J 2 E"] | None = None,
    ) -> tuple[ViewTokens, InputView]:
        """What the plane decoder looks at (tokens of the landmarks, if the model has any, then of one view after the
        other), and what points read off the first view."""
        views = image if image.ndim == 5 else image[:, None]
        self._check(views, landmarks, cameras)
        count = views.shape[1]
        rgb, alpha = views[:, :, :3], views[:, :, 3:4]
        shown = rearrange(rgb * alpha + 0.5 * (1 - alpha), "B V C H W -> (B V) C H W")
        condition = None if cameras is None else self.camera(cameras).flatten(0, 1)
        found = self.encoder(shown, condition)
        memory = rearrange(found.tokens, "(B V) T D -> B (V T) D", V=count)
        first = ViewTokens(found.tokens[::count], found.grid)
        picture = torch.cat([rgb * alpha, views[:, :, 3:]], dim=2)[:, 0]
        features = depth = corrected = None
        if self.landmark_head is not None and landmarks is not None:
            corrected, landmark_tokens = self.landmark_head(landmarks, detector_features, first)
            memory = torch.cat([landmark_tokens, memory], dim=1)
        if self.head is not None:
            features, depth = self.head(picture, first)
        return ViewTokens(memory, found.grid), InputView(picture, features, depth, corrected, corrected)

    def decode(self, latent: Float[Tensor, "B 3 C s s"], inputs: InputView) -> Triplane:
        """Latent triplane to the planes that the field reads."""
        xy, zy, xz = self.latent_decoder(latent).float().unbind(1)
        return Triplane(xy, zy, xz, inputs)

    def _check(
        self, views: Float[Tensor, "B V 5 H W"], landmarks: Float[Tensor, "B J 4"] | None, cameras: Cameras | None
    ) -> None:
        batch, count = views.shape[:2]
        if not 1 <= count <= _MOST_VIEWS:
            raise ValueError(f"1 to {_MOST_VIEWS} views can be given, got {count}")
        if cameras is None and count > 1:
            raise ValueError(f"{count} views need {count} cameras each; only a single canonical view goes without")
        if cameras is not None and (cameras.w2c.shape[:-2] != (batch, count) or cameras.size_px != views.shape[-2:]):
            raise ValueError(
                f"cameras must be ({batch}, {count}) of {tuple(views.shape[-2:])} px like the views, got "
                f"{tuple(cameras.w2c.shape[:-2])} of {cameras.size_px} px"
            )
        if self.landmark_head is not None and landmarks is None:
            raise ValueError("this model was built with landmarks=True: give the landmarks detected in the first view")
        if cameras is not None and (self.head is not None or self.landmark_head is not None):
            first = Cameras(cameras.K[:, 0], cameras.w2c[:, 0], cameras.size_px)
            canonical = camera_numbers(canonical_camera(1)).to(first.K)
            if not torch.allclose(camera_numbers(first), canonical.expand(batch, -1), atol=1e-3):
                raise ValueError(
                    "points read the first view (pixel_features, depth_prior or landmarks): its camera must be the "
                    "canonical one (frame.canonical_camera); turn the world into its frame"
                )
