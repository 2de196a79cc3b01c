"""Writes config/schema.json from the models of the settings; with --check it only says whether the file is theirs.

``python workflow/scripts/schema.py``
"""

import sys
from pathlib import Path

from waferbench.config.schema import schema_text
from waferbench.tracks import all_tracks, settings_model

FILE = Path(__file__).resolve().parents[2] / "config/schema.json"


def main() -> None:
    """Write the schema, or compare it."""
    text = schema_text(settings_model(all_tracks()))
    if "--check" in sys.argv[1:]:
        sys.exit(0 if FILE.exists() and FILE.read_text() == text else f"{FILE}: not what the models say; run this")
    FILE.write_text(text)


if __name__ == "__main__":
    main()
