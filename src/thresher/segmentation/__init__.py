"""The segmentation network and how it learns: the tree of classes, targets from masks and boxes, losses, the training
loop, inference, metrics. Arrays and tensors in, arrays and tensors out; nothing here knows of runs.
"""
