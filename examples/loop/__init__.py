"""The whole learning loop on this machine, with the commands as a user calls them: `make demo-loop`."""
