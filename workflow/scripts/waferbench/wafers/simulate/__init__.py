"""Simulated wafer maps with the nine classes of WM-811K, for studies without data of one's own."""
