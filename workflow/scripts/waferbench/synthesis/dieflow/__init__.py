"""Die flow: draws pass or fail for each die of a wafer's own grid, for a class that it is told.

Discrete flow matching from a hidden to a known die (Gat et al. 2024, arXiv:2407.15595, mask source; the same model
as the masked diffusion of Sahoo et al. 2024, arXiv:2406.07524): dies are revealed in random order, a few at first,
each with the probability of failing that the network reads off the dies known so far. Nothing outside the wafer can
be drawn, and samples are ternary maps like real ones.
"""
