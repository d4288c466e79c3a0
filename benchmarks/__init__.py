"""The figures that VirshManager claims, each a command: `script/bench NAME`. Results: docs/figures.md."""
