"""The one error that a user is meant to read."""


class InputError(ValueError):
    """Bad input. The message names the file, row or key, what was found, what was expected, what to do."""
