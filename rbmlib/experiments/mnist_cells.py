"""What is computed for the studies of diluted machines: training, sampling of pruned machines, floors."""

from __future__ import annotations
