"""The dashboards, a module each; every one has BOARD."""
