"""What several test files share; nothing is imported from one test file into another."""
