"""What a selection is and why: how it differs from pool and target, why an image was taken or not, how many are enough.
Each reads a run and calls a pure core in `selection`.
"""
