"""What changes after a promotion: drift, and the shadow's results."""
