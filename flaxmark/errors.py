"""Exit codes, and an exception for each kind of error that a program may want to catch."""


class ConfigError(ValueError):
    """The user's configuration, files or command cannot work; the message says what to do."""
