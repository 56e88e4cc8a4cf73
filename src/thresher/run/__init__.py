"""A run's folder. The writing side: paths, locks, the manifest, and `perform`, which does a stage's work once. The
reading side: `opened`, a run's tables, each read once and kept. `stages` is the table of all commands.
"""
