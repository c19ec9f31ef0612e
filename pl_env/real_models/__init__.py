"""Models as they lie on disk: scanned for shared blocks, measured on this machine, loaded and run for real."""
