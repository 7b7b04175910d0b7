"""Rockchip NPUs: the toolkit's own environment, its worker process, and what its compiler is given."""
