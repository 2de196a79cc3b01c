"""What the pages of all tracks share: the frame around their sections, tables, figures, the page that links them."""
