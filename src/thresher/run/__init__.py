"""A run's folder. The writing side: paths, locks, the manifest, and `perform`, which does a stage's work once. The reading
side: what the folder holds, by name."""
