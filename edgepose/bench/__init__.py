"""Measure a bundle on a device: plan, run, result document, statistics, comparison, history."""
