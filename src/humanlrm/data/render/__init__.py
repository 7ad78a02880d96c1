"""Synthetic photographs of scans."""
