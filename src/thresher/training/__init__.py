"""Training, measuring and using a segmentation network from a run's tables: which images teach and validate, the
batches, the loop from checkpoint to checkpoint, evaluation, prediction and export.
"""
