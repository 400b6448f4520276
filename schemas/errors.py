"""The base of all errors that the user or the operator can put right."""


class UserError(Exception):
    """Something that the user can put right; the message is one line: the cause, then the remedy."""
