"""From a run spec to stages: `facts.resolve` (the only I/O), `make.make` and `finish.finish` (both pure)."""
