"""One module per class of attack: each is tried, and must be refused. `script/attacks` tells how many."""
