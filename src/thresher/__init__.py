"""Choose the few images of a huge weakly labelled pool that make a segmentation network better in your domain."""

__version__ = "0.1.0.dev0"
