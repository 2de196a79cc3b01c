"""A trained classifier held against another labelled data set: its scores, and how far from home its wafers are."""
