"""Training of the latent-triplane diffusion."""
