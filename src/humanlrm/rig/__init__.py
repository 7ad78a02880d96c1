"""From a reconstructed person to one that moves: skeleton, skin weights, poses, clips."""
