"""The operator's endpoints that every consuming service has, under ``/<prefix>/ops``."""
