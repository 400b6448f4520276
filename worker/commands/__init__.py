"""The commands of emotion-worker; `worker.cli` names them, and each is imported when it is called."""
