"""What completing a person costs beside reconstructing one: seconds of CPU time with random weights of full size.

    python -m benchmarks.diffusion [--steps 8] [--samples 1]

The reconstruction model has a 3 x 16 x 16 x 16 latent triplane and the small encoder; weights do not matter for time.
CPU time of one thread, so that other processes on the machine count little.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode

from humanlrm.body.landmarks import COUNT, DETECTOR_FEATURE_CHANNELS
from humanlrm.diffusion.latent.complete import LatentSampling, complete
from humanlrm.diffusion.latent.condition import fit_config, latent_condition
from humanlrm.diffusion.latent.denoiser import Denoiser, small_denoiser
from humanlrm.diffusion.latent.guidance import GuidanceSettings
from humanlrm.model.config import PaperConfig
from humanlrm.model.lrm import build
from humanlrm.views import Inputs


@dataclass(frozen=True)
class Options:
    """Attributes:
    steps: of the solver.
    samples: people per photo.
    """

    steps: int = 8
    samples: int = 1


def reconstruction_config() -> PaperConfig:
    """The paper's family at about the size of ``small``."""
    return PaperConfig(
        encoder="lite", image_px=256, camera_width=64, width=192, depth=4, heads=3, plane_side=16, bottleneck=16,
        upsample_width=64, plane_channels=24, field_width=64, field_depth=3, latent=32,
    )  # fmt: skip


def cpu_s(run: Callable[[], object]) -> float:
    """Of the second call."""
    run()
    start = time.process_time()
    run()
    return time.process_time() - start


@torch.no_grad()
def main(options: Options) -> None:
    torch.set_num_threads(1)
    lrm = build(reconstruction_config()).eval()
    denoiser = Denoiser(fit_config(small_denoiser(), lrm)).eval()
    image = torch.rand(1, 5, 256, 256)
    image[:, 4] = 1
    given = Inputs(image, torch.zeros(1, COUNT, 4), torch.zeros(1, COUNT, 2, DETECTOR_FEATURE_CHANNELS))
    condition, _ = latent_condition(lrm, denoiser, given)
    with FlopCounterMode(display=False) as flops:
        denoiser(condition.latent, torch.zeros(1), condition)
    print(f"denoiser: {sum(p.numel() for p in denoiser.parameters()) / 1e6:.1f} M parameters, "
          f"{flops.get_total_flops() / 1e9:.2f} GFLOP an evaluation")  # fmt: skip
    print(f"image to planes, no completion: {cpu_s(lambda: lrm(given.image)):.2f} s")
    plain = LatentSampling(samples=options.samples, steps=options.steps)
    cases = {
        "ddim, no guidance": replace(plain, solver="ddim", guidance=1.0),
        "heun, no guidance": replace(plain, guidance=1.0),
        "heun, guidance": plain,
        "heun, guidance, reconstruction": replace(plain, reconstruction=GuidanceSettings()),
    }
    for name, settings in cases.items():
        spent = cpu_s(lambda settings=settings: complete(lrm, denoiser, given, settings))
        print(f"{options.samples} sample(s), {options.steps} steps, {name}: {spent:.2f} s")


if __name__ == "__main__":
    main(tyro.cli(Options))
