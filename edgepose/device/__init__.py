"""Devices: their profiles, and how to reach them."""
