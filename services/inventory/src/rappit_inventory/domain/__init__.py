"""What is true about stock, in plain Python."""
