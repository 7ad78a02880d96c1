"""People made from nothing but the package."""
