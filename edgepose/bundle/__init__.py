"""Bundles: the manifest (bundle.json) and how a bundle folder is written."""
