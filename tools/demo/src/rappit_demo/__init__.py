"""The main job, told through the public APIs only."""
