"""One module a row of the performance goals: each measures a limit and ourselves in the same run."""
