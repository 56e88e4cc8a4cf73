"""What a selection is worth: a network for each method, budget, mode and seed, trained by workers, and intervals and
paired differences over the seeds.
"""
