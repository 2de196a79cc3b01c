"""Statistics of the grid: comparisons, ranks, gains, calibration, recall of rare defects, suspicious labels."""
