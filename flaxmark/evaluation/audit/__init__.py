"""What is odd in a data set, before it is trained on."""
