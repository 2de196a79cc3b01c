"""Circular-shape filter: does a synthetic image look like a whole, centred wafer?

Wafers are ellipses on their native grids and discs once they are rendered to a square, so the nominal
wafer is the disc inscribed in the image. Paper section "Circular-shape filter"; its inside is unpublished.
"""
