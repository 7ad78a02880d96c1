"""All knowledge of bodies: landmarks, the capsules between them, balance, height, parts."""
