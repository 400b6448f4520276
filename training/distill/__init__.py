"""Teachers: their targets, pseudo-labelled lines, teachers fitted in parallel."""
