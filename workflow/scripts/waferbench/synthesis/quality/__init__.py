"""How near synthetic wafers are to real ones: distances of features, precision and recall, memorisation."""
