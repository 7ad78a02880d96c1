"""The paper's model at any size: V views of a person, any cameras, to a triplane, and the field that reads it."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from humanlrm.camera import Cameras
from humanlrm.frame import canonical_camera
from humanlrm.model.config import PaperConfig
from humanlrm.model.encoders import ViewEncoder, ViewTokens
from humanlrm.model.landmark_head import LandmarkEstimate
from humanlrm.model.latent import LatentDecoder
from humanlrm.model.modulation import CameraEmbedding, camera_numbers
from humanlrm.model.paper_field import DensityField, PaperField
from humanlrm.model.plane_decoder import PlaneDecoder
from humanlrm.model.triplane import InputView, Triplane
from humanlrm.model.view_head import TokenLandmarkHead, ViewHead
from humanlrm.views import Inputs

_MOST_VIEWS = 8


@dataclass(frozen=True)
class ViewFeatures:
    """Features of the views of B people.

    Attributes:
        picture: the first view: premultiplied RGB, alpha and known (1 inside the photo).
        first: its tokens.
        memory: the tokens of all views, one view after the other.
    """

    picture: Float[Tensor, "B 5 H W"]
    first: ViewTokens
    memory: Float[Tensor, "B T D"]


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

    def extract_features(self, image: Float[Tensor, "B *V 5 H W"], cameras: Cameras | None = None) -> ViewFeatures:
        """Features of views: sRGB (not premultiplied), alpha, known (1 inside the photo), all in [0, 1].

        Args:
            image: B crops, or B times V views of one size.
            cameras: (B, V) cameras in the box frame; ``None``: one view by the canonical camera.

        Raises:
            ValueError: views without cameras, cameras that are not those of the views, or a first view that is not
                canonical although points read it.
        """
        views = image if image.ndim == 5 else image[:, None]
        self._check(views, cameras)
        count = views.shape[1]
        rgb, alpha = views[:, :, :3], views[:, :, 3:4]
        shown = rearrange(rgb * alpha + 0.5 * (1 - alpha), "B V C H W -> (B V) C H W")
        condition = None if cameras is None else self.camera(cameras).flatten(0, 1)
        found = self.encoder(shown, condition)
        memory = rearrange(found.tokens, "(B V) T D -> B (V T) D", V=count)
        first = ViewTokens(found.tokens[::count], found.grid)
        return ViewFeatures(torch.cat([rgb * alpha, views[:, :, 3:]], dim=2)[:, 0], first, memory)

    def estimate_landmarks(self, inputs: Inputs, features: ViewFeatures | None = None) -> LandmarkEstimate | None:
        """Landmarks from the detected ones and the first view; ``None``: this model estimates none.

        Args:
            features: of the same images. Default: they are extracted.
        """
        if self.landmark_head is None:
            return None
        features = self.extract_features(inputs.image) if features is None else features
        return self._estimate(features, inputs.landmarks, inputs.detector_features)

    def _estimate(
        self,
        features: ViewFeatures,
        landmarks: Float[Tensor, "B J 4"] | None,
        detector_features: Float[Tensor, "B J 2 E"] | None,
    ) -> LandmarkEstimate | None:
        if self.landmark_head is None:
            return None
        if landmarks is None:
            raise ValueError("this model was built with landmarks=True: give the landmarks detected in the first view")
        points, tokens = self.landmark_head(landmarks, detector_features, features.first)
        return LandmarkEstimate(points, None, tokens)

    def decode(
        self,
        features: ViewFeatures,
        landmarks: Float[Tensor, "B J 3"] | None = None,
        estimate: LandmarkEstimate | None = None,
    ) -> Triplane:
        """The planes of people whose landmarks these are; the planes read the estimate, the field the landmarks."""
        latent, view = self.decode_to_latent(features, landmarks, estimate)
        return self.decode_latent(latent, view)

    def decode_to_latent(
        self,
        features: ViewFeatures,
        landmarks: Float[Tensor, "B J 3"] | None = None,
        estimate: LandmarkEstimate | None = None,
    ) -> tuple[Float[Tensor, "B 3 C s s"], InputView]:
        """The latent triplane (what diffusion learns to make) and what points read off the first view."""
        memory = features.memory if estimate is None else torch.cat([estimate.tokens, features.memory], dim=1)
        grid, depth = None, None
        if self.head is not None:
            grid, depth = self.head(features.picture, features.first)
        estimated = None if estimate is None else estimate.points
        return self.decoder(memory), InputView(features.picture, grid, depth, landmarks, estimated)

    def forward(
        self,
        image: Float[Tensor, "B *V 5 H W"],
        landmarks: Float[Tensor, "B J 4"] | None = None,
        detector_features: Float[Tensor, "B J 2 E"] | None = None,
        cameras: Cameras | None = None,
    ) -> Triplane:
        """Views to planes, built on the estimated landmarks, if the model estimates any.

        Args:
            landmarks: detected in the first view, box units, and visibility in [0, 1]; 0 = missing.
            detector_features: the detector's features at the landmarks; ``None``: unknown.

        Raises:
            ValueError: as :meth:`extract_features`; or no landmarks where they are needed.
        """
        return self.decode_latent(*self.encode_latent(image, landmarks, detector_features, cameras))

    def encode_latent(
        self,
        image: Float[Tensor, "B *V 5 H W"],
        landmarks: Float[Tensor, "B J 4"] | None = None,
        detector_features: Float[Tensor, "B J 2 E"] | None = None,
        cameras: Cameras | None = None,
    ) -> tuple[Float[Tensor, "B 3 C s s"], InputView]:
        """Views to the latent triplane and what points read off the first view; arguments as of :meth:`forward`."""
        features = self.extract_features(image, cameras)
        estimate = self._estimate(features, landmarks, detector_features)
        return self.decode_to_latent(features, None if estimate is None else estimate.points, estimate)

    def decode_latent(self, latent: Float[Tensor, "B 3 C s s"], inputs: InputView) -> Triplane:
        """Latent triplane to the planes that the field reads."""
        xy, zy, xz = self.latent_decoder(latent).float().unbind(1)
        return Triplane(xy, zy, xz, inputs)

    def _check(self, views: Float[Tensor, "B V 5 H W"], cameras: Cameras | None) -> None:
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
        if cameras is not None and (self.head is not None or self.landmark_head is not None):
            first = Cameras(cameras.K[:, 0], cameras.w2c[:, 0], cameras.size_px)
            canonical = camera_numbers(canonical_camera(1)).to(first.K)
            if not torch.allclose(camera_numbers(first), canonical.expand(batch, -1), atol=1e-3):
                raise ValueError(
                    "points read the first view (pixel_features, depth_prior or landmarks): its camera must be the "
                    "canonical one (frame.canonical_camera); turn the world into its frame"
                )
