"""The lab: independent cells of work, a store of their results, and the sweep that fills it.

Nothing here knows what a cell computes. The rooms, from the bottom up:

- :mod:`rbmlib.lab.errors` : every error that the lab raises on purpose;
- :mod:`rbmlib.lab.cell` : one unit of work;
- :mod:`rbmlib.lab.fingerprint` : a hash of the code that a cell runs;
- :mod:`rbmlib.lab.container` and :mod:`rbmlib.lab.store` : results on disk;
- :mod:`rbmlib.lab.sweep` : computes what is missing, on any executor;
- :mod:`rbmlib.lab.cluster` : a Dask cluster as such an executor;
- :mod:`rbmlib.lab.restamp` : carries results over a change of code that keeps their bits;
- :mod:`rbmlib.lab.profiles` : named sets of parameters and what they cost.
"""
