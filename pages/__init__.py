"""What all pages look like: one style, one set of colours, one file without scripts that loads nothing."""
