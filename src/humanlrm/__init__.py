"""One photo of a person in, a textured, watertight, metric 3D person out, in seconds, on a plain CPU."""

__version__ = "0.1.0"
