"""The lab: independent cells of work, a store of their results, and the sweep that fills it.

Nothing here knows what a cell computes. The rooms, from the bottom up:

- :mod:`rbmbook.lab.errors` : every error that the lab raises on purpose;
- :mod:`rbmbook.lab.cell` : one unit of work;
- :mod:`rbmbook.lab.fingerprint` : a hash of the code that a cell runs;
- :mod:`rbmbook.lab.container` and :mod:`rbmbook.lab.store` : results on disk;
- :mod:`rbmbook.lab.sweep` : computes what is missing, on any executor;
- :mod:`rbmbook.lab.cluster` : a Dask cluster as such an executor;
- :mod:`rbmbook.lab.restamp` : carries results over a change of code that keeps their bits;
- :mod:`rbmbook.lab.profiles` : named sets of parameters and what they cost.
"""
