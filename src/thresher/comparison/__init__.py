"""What a selection is worth: workers train one network per method, budget, mode and seed; the results are mIoU with
confidence intervals, and paired differences, over the seeds.
"""
