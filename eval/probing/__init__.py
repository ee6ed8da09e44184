"""Cards changed on purpose, and what a system makes of them."""
