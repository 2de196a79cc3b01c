"""The settings of a study: typed, checked, and the grid of cells that follows from them."""
