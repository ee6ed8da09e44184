"""An invented world whose facts are known."""
