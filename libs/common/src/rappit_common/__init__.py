"""What every Rappit service needs and none owns."""
