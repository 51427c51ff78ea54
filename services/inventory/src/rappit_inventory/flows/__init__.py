"""What spans several transactions: files that are kept first and applied later."""
