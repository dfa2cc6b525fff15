"""A deployable Dagster project with one component instance, `purchases`, configured by the environment."""
