"""One module for each command of flaxmark: its flags, and what it does with them."""
