"""Classifiers of wafer maps: trained, scored, put to work."""
