"""When there is too little for a test, said in words."""

NUMBERS = {3: "three", 4: "four", 5: "five"}


def too_few(count: int, what: str, least: int = 5) -> str:
    """``2 backbones are too few: five are needed``; "" where there are enough."""
    if count >= least:
        return ""
    return f"{count} {what}{' is' if count == 1 else 's are'} too few: {NUMBERS.get(least, least)} are needed"
