"""One offline HTML page on a run: what was done, what was chosen and why, and what is wrong. Reads a run, draws with
`drawings`, and lays the page out in `sections` and `templates`."""
