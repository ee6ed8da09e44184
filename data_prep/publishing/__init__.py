"""A data set with its card, pushed to the Hub."""
