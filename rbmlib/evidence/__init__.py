"""What a claim is settled with, from values over seeds to one sentence of finding.

- :mod:`rbmlib.evidence.estimates` : a value and its interval over seeds.
- :mod:`rbmlib.evidence.rules` : named parts that hold, fail or stay open, and the verdict that they make together.
- :mod:`rbmlib.evidence.curves` : where curves rise, fall and cross levels.
- :mod:`rbmlib.evidence.words` : numbers in sentences.
- :mod:`rbmlib.evidence.claims` : the catalogue of claims, their verdicts, and the dates of rules and results.
"""
