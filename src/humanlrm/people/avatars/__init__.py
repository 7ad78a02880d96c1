"""People made from rigged, textured avatars of the asset pack."""
