"""What can go wrong, sorted by what the worker does about it."""


class WorkerError(Exception):
    """Base of the errors below; the message is written for the operator and says what to do."""


class ConfigurationError(WorkerError):
    """The deployment is wrong, not the data: stop at once, with exit code 2. Restarting does not help."""


class Away(WorkerError):
    """Kafka or Postgres cannot be reached now: back off, lose nothing, go on by itself."""


class RejectedData(WorkerError):
    """The model or the database refuses something in the chunk: bisect it and dead-letter the culprits."""


class TooManyDeadLetters(ConfigurationError):
    """The circuit breaker is open: so much is rejected that the deployment is to blame, not the data."""


class OffsetOutOfRange(ConfigurationError):
    """The log no longer holds the next offset, and the settings forbid to skip over the gap."""
