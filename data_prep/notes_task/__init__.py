"""The second task: research notes on a linked page."""
