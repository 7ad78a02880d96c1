"""Files of strangers: meshes, textures, pictures, cameras and pickles, read with care, brought to our conventions."""
