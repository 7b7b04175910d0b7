"""Measures of how right a bundle is."""
