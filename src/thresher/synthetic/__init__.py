"""Made-up street scenes with labels and boxes, decoys, and the truth about both: for demos, tests and experiments."""

from thresher.synthetic.canvas import Box, Scene
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.synthetic.decoys import KINDS, decoy
from thresher.synthetic.street import street_scene

__all__ = ["KINDS", "Box", "Scene", "SyntheticSettings", "decoy", "street_scene", "write_dataset"]
