"""The ECOC-SVM head."""
