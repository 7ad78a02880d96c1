"""Whole people from views that hide some of them: a diffusion model over the teacher's latent triplanes."""
