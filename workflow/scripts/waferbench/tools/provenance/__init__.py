"""The provenance of a finished study as an RO-Crate: what was made by which code from what."""
