"""Wafer maps: read, stored, drawn, split, audited, simulated."""
