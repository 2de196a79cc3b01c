"""Images: stored, with what they were made from beside them."""
