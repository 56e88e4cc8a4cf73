"""Workers: processes of this machine or actors on a Ray cluster, which embed images and train the networks of a
comparison. Tasks and answers are lines of text and everything else goes through files, so that a worker that dies costs
only its task. `pool` hands out the lines, `serve` answers them in a process, `store` exchanges files where machines
share no folder.
"""
