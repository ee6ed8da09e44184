"""The second task measured: research notes."""
