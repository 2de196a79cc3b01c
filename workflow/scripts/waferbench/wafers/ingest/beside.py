"""What lies beside the wafers and is not read, told once."""

from __future__ import annotations

import sys
from pathlib import Path

from waferbench.base.sourcefiles import Kind, passed_over


def tell_passed_over(path: Path, kind: Kind) -> None:
    """One line with the number of files of a folder that are passed over, and one of them: in the log and, where that
    is elsewhere, on the terminal."""
    files = passed_over(path, kind)
    if not files:
        return
    count = f"{len(files)} file{'s' * (len(files) > 1)}"
    line = f"{path}: passed over {count} of other kinds than {', '.join(kind.endings)}, for instance {files[0].name!r}"
    for stream in {sys.stderr, sys.__stderr__}:
        if stream is not None:
            print(line, file=stream, flush=True)
