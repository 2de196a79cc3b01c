"""The library behind the workflow. No module imports snakemake; each is usable from a notebook."""
