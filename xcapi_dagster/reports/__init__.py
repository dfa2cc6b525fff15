"""What became of every order: counts that add up, a result for each conversion, a reason for each rejection."""
