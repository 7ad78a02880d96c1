"""Diffusion over latent triplanes, for the large presets (paper, first version)."""
