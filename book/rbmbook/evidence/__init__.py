"""What a claim is settled with, from values over seeds to one sentence of finding.

- :mod:`rbmbook.evidence.estimates` : a value and its interval over seeds.
- :mod:`rbmbook.evidence.rules` : named parts that hold, fail or stay open, and the verdict that they make together.
- :mod:`rbmbook.evidence.curves` : where curves rise, fall and cross levels.
- :mod:`rbmbook.evidence.words` : numbers in sentences.
- :mod:`rbmbook.evidence.claims` : the catalogue of claims, their verdicts, and the dates of rules and results.
"""
