"""Synthetic wafers: generators, shape filter, quality, and what of them enters training."""
