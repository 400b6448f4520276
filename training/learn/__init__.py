"""How a network learns: rows and their order, losses, optimizer, trainer, checkpoints."""
