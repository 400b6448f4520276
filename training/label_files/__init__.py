"""Label files: every form that is read, by one rulebook for all commands.

`reading` opens a file, finds its form and makes labels of its rows. Each tool has a small module.
"""
