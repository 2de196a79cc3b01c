"""Classifiers: images in, a timm backbone with a softmax head and penultimate features out."""
