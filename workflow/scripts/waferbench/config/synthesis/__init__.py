"""Settings of the synthesis study: generators, what is measured of them, classifiers, statistics."""
