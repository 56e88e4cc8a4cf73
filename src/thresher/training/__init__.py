"""Train, evaluate and use a segmentation network with the tables of a run: training and validation images, batches,
training from checkpoint to checkpoint, evaluation, prediction and export.
"""
