"""Co-inference: figures, the study of distortions, and how its benchmark sets are made."""
