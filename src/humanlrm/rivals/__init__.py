"""Rivals: the kinds of methods that ours is measured against, small, trained on the same people by the same loop."""
