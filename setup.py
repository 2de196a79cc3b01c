"""What `pip install .` installs: the library, and in its folder `files` what it reads that a clone has elsewhere."""

from tempfile import TemporaryDirectory

from setuptools import find_packages, setup

FILES = {"waferbench.files.report": "workflow/report", "waferbench.files.resources": "resources"}

with TemporaryDirectory() as folder:  # not in the clone, where the next build would pack what has gone since
    setup(
        packages=[*find_packages("workflow/scripts", include=["waferbench", "waferbench.*"]), *FILES],
        package_dir={"": "workflow/scripts", **FILES},
        package_data={name: ["**"] for name in FILES},
        options={"build": {"build_base": folder}, "egg_info": {"egg_base": folder}},
    )
