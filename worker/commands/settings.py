"""The settings that a command works with."""

import signal

from worker.observability.logs import configure_logs
from worker.settings import Settings


def load_settings(**options: object) -> Settings:
    """Return the settings, and log from then on as they say.

    Args:
        options: what the command line gives in place of settings; None where it gives nothing.
    """
    settings = Settings.load(**options)
    configure_logs(settings.log_level)
    return settings


def load_kafka_settings(**options: object) -> Settings:
    """Return the settings, and let Ctrl-C end the process: the client (3.0.12) may swallow a KeyboardInterrupt.

    Args:
        options: what the command line gives in place of settings; None where it gives nothing.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return load_settings(**options)
