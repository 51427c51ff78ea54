"""The one truth about stock: levels, reservations, imports."""
