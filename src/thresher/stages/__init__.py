"""The line of stages: index, embed, fit, score, select, and what hands a selection over or explains it. Each stage
reads some of a run's tables and writes one, under a fingerprint of all that shaped it."""
