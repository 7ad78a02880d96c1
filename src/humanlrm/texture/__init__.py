"""Colors of a surface: projection of photos, completion of what they do not show, baking."""
