"""Pages: one package a track, on one kit."""
