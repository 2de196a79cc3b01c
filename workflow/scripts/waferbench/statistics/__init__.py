"""Statistics of the grid: comparisons, ranks, gains, calibration, recall of rare defects, suspicious labels.

"The table ranks" is the one whose columns `waferbench.base.tables.TABLES` holds under that name.
"""
