"""The commands of emotion-training; `training.cli` names them, and each is imported when it is called."""
