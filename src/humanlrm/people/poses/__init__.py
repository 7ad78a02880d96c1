"""Random body poses."""
