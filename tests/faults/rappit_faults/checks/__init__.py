"""What must be true after the drain. Each check names the offender: a run that fails must say what to look at."""
