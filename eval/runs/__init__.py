"""What scored and finished runs hold."""
